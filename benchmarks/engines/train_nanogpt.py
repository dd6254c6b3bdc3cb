"""nanoGPT's own model and step: ``python train_nanogpt.py SHAPE CLONE PRECISION COMPILE``.

The step is that of its train.py: the rate set, the forward pass under autocast, backward, the gradient's norm
clipped at 1, AdamW with its groups, gradients dropped. On a GPU where there is one, with all that train.py
turns on there: TF32, flash attention, the fused AdamW, batches from pinned memory.
"""

import contextlib
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
from nanogpt_model import model_module
from steps import batch, serve

shape = json.loads(sys.argv[1])
clone, precision, compiled = sys.argv[2:]
device = "cuda" if torch.cuda.is_available() else "cpu"


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
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    plain = nanogpt.GPT(config).to(device)
    optimizer = plain.configure_optimizers(0.1, 1e-3, (0.9, 0.99), device)
    model = torch.compile(plain) if compiled == "true" else plain
    half = torch.amp.autocast(device_type=device, dtype=torch.bfloat16)
    context = half if precision == "bfloat16" else contextlib.nullcontext()
    done = 0

    def train(num_steps: int, stamp: Callable[[], None]) -> float:
        nonlocal done
        for number in range(num_steps):
            ids, labels = (on_device(array) for array in batch(shape, done))
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

    serve(torch.__version__, train, torch.cuda.max_memory_allocated if device == "cuda" else lambda: 0)


def on_device(array: np.ndarray) -> torch.Tensor:
    """Ids as train.py brings them there."""
    tensor = torch.from_numpy(array).long()
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


if __name__ == "__main__":
    main()
