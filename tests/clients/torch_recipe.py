"""A recipe trains under KERAS_BACKEND=torch with TensorFlow's and JAX's losses, and without TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = 20
TOLERANCE = 2e-4  # nats per token, after STEPS updates in float32
GOLDEN = Path(__file__).resolve().parents[1] / "data" / "base"
TEXT = Path(__file__).resolve().parents[2] / "kerasgpt" / "assets" / "tinyshakespeare.txt"


def recipe(folder: Path) -> dict[str, object]:
    """From fixed weights, with clipping, accumulation and averages, and without dropout."""
    return {
        "data": {
            "paths": [str(folder / "text.txt")],
            "validation_fraction": 0.1,
            "tokenizer": "learn",
            "vocabulary_size": 280,  # as many as the weights have
        },
        "model": {"init": str(GOLDEN), "dropout": 0.0},
        "train": {
            "steps": STEPS,
            "batch_size": 4,
            "sequence_length": 32,
            "warmup_steps": 2,
            "accumulation_steps": 2,
            "ema_decay": 0.9,
            "log_every": 1,
            "evaluate_every": 10,
            "checkpoint_every": 7,
            "sample_tokens": 4,
        },
    }


def train(folder: Path) -> None:
    """Train on the backend that is set; print the losses and what was imported."""
    import keras

    from kerasgpt.training.config import Recipe
    from kerasgpt.training.train import train

    backend = keras.backend.backend()
    run = train(Recipe.from_dict(recipe(folder)), folder / backend, device="cpu", quiet=True)
    records = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [record.get("loss", record.get("validation_loss")) for record in records]
    libraries = sorted({"tensorflow", "jax", "torch"} & set(sys.modules))
    print(json.dumps({"losses": losses, "libraries": libraries}))


def on(backend: str, folder: Path) -> dict[str, list]:
    """The same in a process of its own: on torch by this Python, else by the one that runs the clients."""
    python = sys.executable if backend == "torch" else os.environ["KERASGPT_PYTHON"]
    names = {"KERAS_BACKEND": backend, "KERAS_TORCH_DEVICE": "cpu", "KERASGPT_CACHE": str(folder / "cache")}
    command = [python, __file__, "--train", str(folder)]
    child = subprocess.run(
        command, env={**os.environ, **names}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(child.stdout.splitlines()[-1])


def main() -> int:
    """Compare the three runs."""
    with tempfile.TemporaryDirectory(prefix="kerasgpt-recipe-") as name:
        folder = Path(name)
        (folder / "text.txt").write_text(TEXT.read_text(encoding="utf-8")[:20_000], encoding="utf-8")
        runs = {backend: on(backend, folder) for backend in ("torch", "tensorflow", "jax")}
    ours = runs["torch"]["losses"]
    problems = {f"torch imported {runs['torch']['libraries']}": runs["torch"]["libraries"] != ["torch"]}
    for backend in ("tensorflow", "jax"):
        theirs = runs[backend]["losses"]
        difference = max(abs(left - right) for left, right in zip(ours, theirs, strict=True))
        print(f"       torch {ours[0]:.4f} -> {ours[-1]:.4f}, {backend} within {difference:.1e}")
        problems[f"{backend}'s losses differ by more than {TOLERANCE}"] = not difference <= TOLERANCE
    problems["nothing was learned"] = not ours[-1] < ours[0] - 0.5
    for sentence, is_so in problems.items():
        if is_so:
            print(f"torch_recipe: {sentence}", file=sys.stderr)
    return int(any(problems.values()))


if __name__ == "__main__":
    if "--train" in sys.argv:
        train(Path(sys.argv[-1]))
    else:
        sys.exit(main())
