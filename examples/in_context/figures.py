"""The two figures of what was measured."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

COLOURS = {"GPT-2": "tab:blue", "LSTM": "tab:orange", "least squares": "black", "zero": "grey"}


def draw_errors(errors: dict, path: Path) -> None:
    """Squared error against the number of examples in the context."""
    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for name, values in errors.items():
        style = "--" if name in ("least squares", "zero") else "o-"
        axes.plot(range(len(values)), values, style, color=COLOURS[name], label=name, markersize=4)
    axes.set(xlabel="examples (x, y) in the context", ylabel="squared error", ylim=(-0.05, 1.3))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_maps(accuracies: dict, curves: list, path: Path) -> None:
    """Accuracy against examples in the context, and each head's induction score over training."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name, values in accuracies.items():
        left.plot(range(1, len(values) + 1), values, "o-", color=COLOURS[name], label=name, markersize=4)
    left.set(xlabel="pairs in the context", ylabel="accuracy, key seen before", ylim=(0, 1.05))
    left.legend(frameon=False)
    steps = [point["step"] for point in curves]
    for layer in range(len(curves[0]["scores"])):
        for head in range(len(curves[0]["scores"][layer])):
            scores = [point["scores"][layer][head] for point in curves]
            name = f"block {layer + 1}" if head == 0 else None
            right.plot(steps, scores, color=("tab:green", "tab:purple")[layer % 2], label=name)
    right.plot(steps, [point["accuracy"] for point in curves], "k--", label="accuracy, key seen before")
    right.set(xlabel="updates", ylabel="induction score of a head", ylim=(0, 1.05))
    right.legend(frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
