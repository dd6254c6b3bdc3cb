"""nanoGPT's own model and step: ``python train_nanogpt.py SHAPE CLONE PRECISION COMPILE``.

The step is that of its train.py: the rate set, the forward pass under autocast, backward, the gradient's norm
clipped at 1, AdamW with its groups, gradients dropped.
"""

import contextlib
import json
import sys
from collections.abc import Callable

import torch
from nanogpt_model import model_module
from steps import batch, serve

shape = json.loads(sys.argv[1])
clone, precision, compiled = sys.argv[2:]


def main() -> None:
    """Train on random ids."""
    nanogpt = model_module(clone)
    config = nanogpt.GPTConfig(
        block_size=shape["sequence_length"],
        vocab_size=shape["vocabulary_size"],
        n_layer=shape["num_layers"],
        n_head=shape["num_heads"],
        n_embd=shape["hidden_dim"],
        dropout=shape["dropout"],
        bias=True,
    )
    plain = nanogpt.GPT(config)
    optimizer = plain.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
    model = torch.compile(plain) if compiled == "true" else plain
    half = torch.amp.autocast(device_type="cpu", dtype=torch.bfloat16)
    context = half if precision == "bfloat16" else contextlib.nullcontext()
    done = 0

    def train(num_steps: int, stamp: Callable[[], None]) -> float:
        nonlocal done
        for number in range(num_steps):
            ids, labels = (torch.from_numpy(array).long() for array in batch(shape, done))
            done += 1
            for group in optimizer.param_groups:
                group["lr"] = 1e-3
            with context:
                _, loss = model(ids, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if number in (0, num_steps - 1):
                last = loss.item()
                stamp()
        return last

    serve(torch.__version__, train)


if __name__ == "__main__":
    main()
