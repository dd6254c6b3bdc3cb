"""What token embeddings from word vectors do to the first hundreds of steps, on real text.

    python benchmarks/word_vectors.py TEXT VECTORS... [--steps N] [--json FILE] [--figure FILE]

A small GPT-2 learns the first part of TEXT from fresh embeddings, from those of each file and on, and from
those left as they are. One more file is made here of all of TEXT: the
principal components of the words' co-occurrence (positive pointwise mutual information), as a stand-in for
vectors that were learned from much more text than there is to train on.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from machine import machine, versions
from matplotlib import pyplot

import kerasgpt

TRAINED_CHARACTERS = 400_000
WIDTH, WINDOW, NUM_WORDS = 64, 4, 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("vectors", nargs="*", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    curves = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text = arguments.text.read_text(encoding="utf-8")
        (folder / "text.txt").write_text(text[:TRAINED_CHARACTERS], encoding="utf-8")
        write_cooccurrence_vectors(text, folder / "co-occurrence.vec")
        kerasgpt.Tokenizer.learn([text[:TRAINED_CHARACTERS]], 4096).save_to_preset(folder / "tokenizer")
        for name, path, freeze in [
            ("fresh embeddings", None, False),
            *(
                (f"{path.name}, {'left as they are' if freeze else 'trained on'}", path, freeze)
                for path in (folder / "co-occurrence.vec", *arguments.vectors)
                for freeze in (False, True)
            ),
        ]:
            curves[name] = losses(folder, name, path, freeze, arguments.steps)
            print(name, curves[name], flush=True)
    if arguments.json:
        result = {
            "machine": machine(),
            "versions": versions("keras", "tensorflow"),
            "text": arguments.text.name,
        }
        result |= {"validation_loss_nats_per_token_by_step": curves}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.figure:
        draw(curves, arguments.figure)


def losses(folder: Path, name: str, vectors: Path | None, freeze: bool, steps: int) -> dict[int, float]:
    """Validation loss after so many steps, nats a token."""
    model = {"num_layers": 2, "num_heads": 4, "hidden_dim": WIDTH, "dropout": 0.0}
    if vectors:
        model["word_vectors"] = str(vectors)
    train = {
        "steps": steps,
        "batch_size": 16,
        "sequence_length": 64,
        "learning_rate": 2e-3,
        "warmup_steps": 20,
    }
    train |= {"evaluate_every": 20, "sample_tokens": 0, "freeze": ["wte.weight"] if freeze else []}
    data = {"paths": [str(folder / "text.txt")], "tokenizer": str(folder / "tokenizer")}
    recipe = kerasgpt.Recipe.from_dict({"data": data, "model": model, "train": train})
    run = kerasgpt.train(recipe, folder / re.sub(r"\W+", "-", name))
    lines = map(json.loads, (run.folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: round(line["validation_loss"], 4) for line in lines if "validation_loss" in line}


def write_cooccurrence_vectors(text: str, path: Path) -> None:
    """Words that keep the same company get vectors that point the same way (Levy and Goldberg 2014)."""
    words = re.findall(r"[^\W\d_]+|[^\w\s]|\d+", text)
    names = [word for word, _ in Counter(words).most_common(NUM_WORDS)]
    numbers = {word: number for number, word in enumerate(names)}
    ids = np.array([numbers.get(word, -1) for word in words])
    counts = np.zeros((NUM_WORDS, NUM_WORDS), np.float32)
    for distance in range(1, WINDOW + 1):
        left, right = ids[:-distance], ids[distance:]
        known = (left >= 0) & (right >= 0)
        np.add.at(counts, (left[known], right[known]), 1.0 / distance)
    counts += counts.T
    total, single = counts.sum(), counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts * total / (single * (single.T**0.75) * (total / (single**0.75).sum())))
    information = np.where(np.isfinite(information) & (information > 0), information, 0)
    left, sizes, _ = np.linalg.svd(information[:, : NUM_WORDS // 4], full_matrices=False)
    rows = left[:, :WIDTH] * np.sqrt(sizes[:WIDTH])
    lines = (
        f"{word} {' '.join(f'{value:.5f}' for value in row)}\n" for word, row in zip(names, rows, strict=True)
    )
    path.write_text(f"{len(names)} {WIDTH}\n" + "".join(lines), encoding="utf-8")


def draw(curves: dict[str, dict[int, float]], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    for name, values in curves.items():
        style = "k-" if name.startswith("fresh") else "--" if "left" in name else "-"
        axes.plot(list(values), list(values.values()), style, label=name)
    axes.set(xlabel="steps", ylabel="validation loss, nats a token")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
