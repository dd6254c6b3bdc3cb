"""LSTM, GRU and GPT-2 of equal size on equal tokens: loss, speed of training, and decode cost against length.

    python benchmarks/recurrence.py train TEXT --runs runs/recurrence
    python benchmarks/recurrence.py measure --runs runs/recurrence

The first trains a model of each kind on the same text, with the same settings; the second times steps of
training and, in ONNX Runtime, the step that reads one token more after so many, and writes results and plot.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, versions

from kerasgpt import Recipe, train
from kerasgpt.architectures import config_of_preset
from kerasgpt.artifacts import write_json
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.models.causal_lm import CausalLM, model_class
from kerasgpt.runtime.language_model import open_step_model
from kerasgpt.training.journal import read_journal

RESULTS = Path(__file__).parent / "results"
PRESETS = {"gpt-micro": "GPT-2", "lstm-micro": "LSTM", "gru-micro": "GRU"}
LENGTHS = (64, 128, 256, 512, 1024, 2048)
SETTINGS: dict[str, dict[str, Any]] = {
    "data": {"validation_fraction": 0.01, "vocabulary_size": 4096},
    "model": {"dropout": 0.1},
    "train": {
        "sequence_length": 128,
        "batch_size": 16,
        "learning_rate": 0.003,
        "warmup_steps": 40,
        "log_every": 20,
        "evaluate_every": 200,
        "checkpoint_every": 200,
        "sample_tokens": 20,
    },
}


def train_all(text: str, runs: Path, steps: int) -> None:
    """Train one model of each kind; a run that was stopped goes on."""
    for preset in PRESETS:
        recipe = Recipe.from_dict(SETTINGS, [f"model.preset={preset}", f"train.steps={steps}"])
        paths = {"data": {**recipe.to_dict()["data"], "paths": [text]}}
        train(Recipe.from_dict({**recipe.to_dict(), **paths}), runs / preset, resume=True)


def measure(runs: Path) -> dict[str, Any]:
    """Everything that the table says of the runs, at tokens that all have read, and times of their shapes."""
    models = {preset: fresh(preset) for preset in PRESETS}
    decode, speed = decode_milliseconds(models), train_tokens_per_second(models)
    curves = {preset: curve(runs / preset, "loss") for preset in PRESETS}
    common = min(points[-1][0] for points in curves.values())
    rows = {
        preset: {
            "title": PRESETS[preset],
            "num_parameters": model.count_params(),
            "tokens_seen": common,
            "train_loss": dict(curves[preset])[common],
            "train_curve": [point for point in curves[preset] if point[0] <= common],
            "validation_curve": [p for p in curve(runs / preset, "validation_loss") if p[0] <= common],
            "train_tokens_per_second": speed[preset],
            "decode_milliseconds": decode[preset],
        }
        for preset, model in models.items()
    }
    return {"machine": machine(), "versions": versions("keras", "tensorflow", "onnxruntime"), "models": rows}


def curve(run: Path, name: str) -> list[tuple[int, float]]:
    """Tokens read, and a number of metrics.jsonl after them."""
    tokens = SETTINGS["train"]["batch_size"] * SETTINGS["train"]["sequence_length"]
    return [
        (each["step"] * tokens, each[name]) for each in read_journal(run / "metrics.jsonl") if name in each
    ]


def fresh(preset: str) -> CausalLM:
    """A model of the runs' shape with weights of its own, on which no time depends."""
    config = config_of_preset(preset, vocabulary_size=4096, max_sequence_length=128)
    model = model_class(config)(config)
    model.build()
    return model


def decode_milliseconds(models: dict[str, CausalLM], rounds: int = 3, steps: int = 20) -> dict[str, Any]:
    """The median time of a step after so many tokens, models in turn: preset -> length -> milliseconds."""
    found: dict[str, dict[int, list[float]]] = {preset: {n: [] for n in LENGTHS} for preset in models}
    with tempfile.TemporaryDirectory() as scratch:
        engines = {preset: _engine(model, Path(scratch) / preset) for preset, model in models.items()}
        for _ in range(rounds):
            for length in LENGTHS:
                for preset, engine in engines.items():
                    ids = np.arange(length)[None] % engine.vocabulary_size
                    state, _ = engine.prefill(ids, np.array([length]))
                    for _ in range(steps):
                        began = time.perf_counter()
                        state, _ = engine.step(state, np.array([5]))
                        found[preset][length].append(1000 * (time.perf_counter() - began))
    return {
        preset: {str(n): round(statistics.median(times), 4) for n, times in by_length.items()}
        for preset, by_length in found.items()
    }


def _engine(model: CausalLM, folder: Path) -> Any:
    """The ONNX file of a model; of a transformer with random weights and room for the longest text."""
    from kerasgpt.export.fused_graph import write_fused
    from kerasgpt.export.kernels import Float32
    from kerasgpt.export.recurrent_graph import write_recurrent

    longest = max(LENGTHS) + 64
    path = folder / "model.onnx"
    if isinstance(model.config, GPT2Config):  # the cost of a step does not depend on what the weights are
        config = model.config.replace(max_sequence_length=longest)
        longer = model_class(config)(config)
        longer.build()
        write_fused(config, named_arrays(longer), path, Float32())
    else:
        write_recurrent(model.config, named_arrays(model), path)
    return open_step_model(path, max_sequence_length=longest)


def train_tokens_per_second(models: dict[str, CausalLM], rounds: int = 3, steps: int = 3) -> dict[str, float]:
    """Tokens a second of `fit`'s steps, models in turn, after a first step that traces the graph."""
    import keras

    train_settings = SETTINGS["train"]
    batch, length = train_settings["batch_size"], train_settings["sequence_length"]
    ids = np.random.default_rng(0).integers(0, 4096, (batch, length + 1))
    for model in models.values():
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(1e-3), loss, jit_compile=isinstance(model.config, GPT2Config))
        model.train_on_batch(ids[:, :-1], ids[:, 1:])
    found: dict[str, list[float]] = {preset: [] for preset in models}
    for _ in range(rounds):
        for preset, model in models.items():
            began = time.perf_counter()
            for _ in range(steps):
                model.train_on_batch(ids[:, :-1], ids[:, 1:])
            found[preset].append(steps * batch * length / (time.perf_counter() - began))
    return {preset: round(statistics.median(speeds), 1) for preset, speeds in found.items()}


def draw(content: dict[str, Any], path: Path) -> None:
    """Loss against tokens, and milliseconds against length."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (losses, costs) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for row, colour in zip(content["models"].values(), ("tab:blue", "tab:orange", "tab:green"), strict=True):
        label = f"{row['title']}, {row['num_parameters'] / 1e6:.2f} M"
        losses.plot(*zip(*row["train_curve"], strict=True), color=colour, label=label)
        for tokens, loss in row["validation_curve"]:
            losses.plot(tokens, loss, "o", color=colour)
        times = row["decode_milliseconds"]
        costs.plot(
            [int(length) for length in times], list(times.values()), "o-", color=colour, label=row["title"]
        )
    losses.set(
        xlabel="tokens read in training",
        ylabel="nats a token",
        title="loss in training, and on validation (dots)",
    )
    costs.set(xlabel="tokens already read", ylabel="milliseconds a token", title="a step in ONNX Runtime")
    costs.set_xscale("log", base=2)
    costs.set_ylim(0)
    for axes in (losses, costs):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train, or measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["train", "measure"])
    parser.add_argument("text", nargs="?", default="")
    parser.add_argument("--runs", type=Path, default=Path("runs/recurrence"))
    parser.add_argument("--steps", type=int, default=400)
    chosen = parser.parse_args()
    if chosen.what == "train":
        train_all(chosen.text, chosen.runs, chosen.steps)
        return
    content = measure(chosen.runs)
    write_json(RESULTS / "recurrence.json", content)
    draw(content, RESULTS / "recurrence.png")
    for preset, row in content["models"].items():
        print(preset, {key: value for key, value in row.items() if not key.endswith("curve")})


if __name__ == "__main__":
    main()
