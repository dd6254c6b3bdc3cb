"""nanoGPT's own model on the letters of a text, as train.py trains: ``SETTING CLONE TEXT FOLDER STOP_AT``.

SETTING is a JSON object, see shakespeare_scores.py. Every evaluation scores the whole validation part, in
windows side by side, appends a line {"step", "validation_loss"} to FOLDER/losses.jsonl and saves
FOLDER/state.pt, from which the next call goes on.
"""

import contextlib
import json
import math
import os
import sys
from pathlib import Path

import torch
from nanogpt_model import model_module

setting = json.loads(sys.argv[1])
clone, text_file, folder = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
stop_at = int(sys.argv[5])
STATE, LOSSES = folder / "state.pt", folder / "losses.jsonl"
WINDOW, BATCH = setting["sequence_length"], setting["batch_size"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    """Train to `stop_at`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = text_file.read_text("utf-8")
    letters = {letter: number for number, letter in enumerate(sorted(set(text)))}
    ids = torch.tensor([letters[letter] for letter in text]).to(DEVICE)
    first_of_validation = int(len(ids) * 0.9)
    learned, validation = ids[:first_of_validation], ids[first_of_validation:]

    torch.manual_seed(setting.get("seed", 1337))
    nanogpt = model_module(clone)
    config = nanogpt.GPTConfig(
        block_size=WINDOW,
        vocab_size=len(letters),
        n_layer=setting["num_layers"],
        n_head=setting["num_heads"],
        n_embd=setting["hidden_dim"],
        dropout=setting["dropout"],
        bias=False,  # the default of its train.py
    )
    model = nanogpt.GPT(config).to(DEVICE)
    optimizer = model.configure_optimizers(0.1, setting["learning_rate"], (0.9, 0.99), DEVICE)
    half = torch.amp.autocast(device_type=DEVICE, dtype=torch.bfloat16)
    precision = half if setting["precision"] == "bfloat16" else contextlib.nullcontext()
    step = 0
    if STATE.is_file():
        state = torch.load(STATE, weights_only=True)
        step = state["step"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])

    while step < stop_at:
        places = torch.randint(len(learned) - WINDOW, (BATCH,))
        inputs = torch.stack([learned[place : place + WINDOW] for place in places])
        labels = torch.stack([learned[place + 1 : place + 1 + WINDOW] for place in places])
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        with precision:
            _, loss = model(inputs, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % setting["evaluate_every"] == 0:
            found = {"step": step, "validation_loss": validation_loss(model, validation, precision)}
            with LOSSES.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            print(json.dumps(found), flush=True)
            state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"random": torch.get_rng_state()}, f"{STATE}.new")
            os.replace(f"{STATE}.new", STATE)


def rate(step: int) -> float:
    """The learning rate of its train.py: linear warm-up, then a cosine to a tenth."""
    highest, warmup, last = setting["learning_rate"], setting["warmup_steps"], setting["steps"]
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    done = (step - warmup) / (last - warmup)
    return highest * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def validation_loss(
    model: torch.nn.Module, ids: torch.Tensor, precision: contextlib.AbstractContextManager
) -> float:
    """Nats per letter over the whole part."""
    model.eval()
    count = (len(ids) - 1) // WINDOW
    inputs = ids[: count * WINDOW].view(count, WINDOW)
    labels = ids[1 : count * WINDOW + 1].view(count, WINDOW)
    total = 0.0
    for begin in range(0, count, BATCH):
        rows = slice(begin, begin + BATCH)
        with precision:
            _, loss = model(inputs[rows], labels[rows])
        total += loss.item() * len(inputs[rows])
    model.train()
    return total / count


if __name__ == "__main__":
    main()
