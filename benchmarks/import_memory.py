"""Memory that reading a GPT-2 takes, in every form it is stored in: ``[--preset gpt2] [--forms NAME...]``.

Writes random weights in each form, then imports them, and builds the Keras model from them (``--ways``), each
in a process of its own that samples its anonymous memory (what no file backs) from the time when TensorFlow
and Keras are imported. The figure is the largest sample, less the first, over the weights' size in float32.
The exit code is 1 if one is above 1.6. Needs Linux, and disk for three times the weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
from machine import machine, versions
from numpy.typing import NDArray
from safetensors.numpy import save_file

from kerasgpt import artifacts
from kerasgpt.atomic import write_text
from kerasgpt.checkpoints.keras_hub_writer import write_preset
from kerasgpt.checkpoints.mapping import Weight, weights
from kerasgpt.checkpoints.mapping import shapes_by_name as shapes_of
from kerasgpt.config import GPT2Config

LIMIT = 1.6
SHARDS = 6

MEASURE = """
import json, sys, threading, time
import tensorflow, keras

def anonymous():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    return int(lines["RssAnon"].split()[0]) * 1024

def sample():
    while not done.wait(0.002):
        samples.append(anonymous())

way, source, target = sys.argv[1:]
if way == "import":
    from kerasgpt.cli import main
    work = lambda: main(["import", source, "--out", target])
else:
    import kerasgpt
    work = lambda: kerasgpt.GPT2CausalLM.from_preset(source)
samples, done = [anonymous()], threading.Event()
watcher = threading.Thread(target=sample, daemon=True)
watcher.start()
started = time.perf_counter()
kept = work()
if kept == 1:
    sys.exit(1)
seconds = time.perf_counter() - started
done.set()
watcher.join()
print(json.dumps({"before_bytes": samples[0], "above_bytes": max(samples) - samples[0], "seconds": seconds}))
"""


def draw(config: GPT2Config, rows: list[Weight]) -> Iterator[tuple[Weight, NDArray[np.float32]]]:
    """Random weights, one at a time."""
    generator, shapes = np.random.default_rng(0), shapes_of(config)
    for row in rows:
        yield row, generator.standard_normal(shapes[row.huggingface], dtype=np.float32) * np.float32(0.02)


def write_huggingface(config: GPT2Config, folder: Path, dtype: Any = np.float32, shards: int = 1) -> None:
    """Write config.json and safetensors, a shard's arrays in memory at a time."""
    artifacts.write_json(folder / artifacts.CONFIG, config.to_huggingface())
    rows, index = weights(config), {}
    for shard in range(shards):
        part = rows[shard * len(rows) // shards : (shard + 1) * len(rows) // shards]
        many = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        name = artifacts.WEIGHTS if shards == 1 else many
        arrays = {row.huggingface: array.astype(dtype) for row, array in draw(config, part)}
        save_file(arrays, folder / name, metadata={"format": "pt"})
        index |= dict.fromkeys(arrays, name)
    if shards > 1:
        artifacts.write_json(folder / artifacts.WEIGHTS_INDEX, {"metadata": {}, "weight_map": index})


def write_openai(config: GPT2Config, folder: Path) -> None:
    """Write hparams.json and a checkpoint by TensorFlow; kernels have a first axis of 1 there."""
    import tensorflow as tf

    sizes = {
        "n_vocab": config.vocabulary_size,
        "n_ctx": config.max_sequence_length,
        "n_embd": config.hidden_dim,
        "n_head": config.num_heads,
        "n_layer": config.num_layers,
    }
    artifacts.write_json(folder / "hparams.json", sizes)
    arrays = {
        row.openai: array[None] if row.openai.endswith("/w") else array
        for row, array in draw(config, weights(config))
    }
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model.ckpt"),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(array) for array in arrays.values()],
    )


def write_keras_hub(config: GPT2Config, folder: Path) -> None:
    """Write a preset without a tokenizer."""
    write_preset(config, {row.huggingface: array for row, array in draw(config, weights(config))}, folder)


def write_tensorflow_h5(config: GPT2Config, folder: Path) -> None:
    """Write config.json and tf_model.h5; biases of dense layers have a first axis of 1 there."""
    artifacts.write_json(folder / artifacts.CONFIG, config.to_huggingface())
    with h5py.File(folder / "tf_model.h5", "w") as file:
        for row, array in draw(config, weights(config)):
            path = f"transformer/tfgpt2lm_head_model/transformer/{row.tensorflow}:0"
            file[path] = array[None] if path.endswith("/bias:0") else array


FORMS = {
    "huggingface": write_huggingface,
    "huggingface_bfloat16": lambda config, folder: write_huggingface(config, folder, ml_dtypes.bfloat16),
    "huggingface_float16": lambda config, folder: write_huggingface(config, folder, np.float16),
    "huggingface_sharded": lambda config, folder: write_huggingface(config, folder, shards=SHARDS),
    "openai": write_openai,
    "keras_hub": write_keras_hub,
    "tensorflow_h5": write_tensorflow_h5,
}


def measure(config: GPT2Config, form: str, ways: list[str]) -> dict[str, Any]:
    """Write one form and read it in each way."""
    size = 4 * config.num_parameters
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / form
        source.mkdir()
        FORMS[form](config, source)
        result = {}
        for way in ways:
            command = [sys.executable, "-c", MEASURE, way, str(source), str(Path(name) / "out")]
            child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            figures = json.loads(child.stdout.splitlines()[-1])
            result[way] = {
                "above_imports_megabytes": round(figures["above_bytes"] / 1e6),
                "times_the_weights": round(figures["above_bytes"] / size, 3),
                "seconds": round(figures["seconds"], 1),
            }
            print(f"{form}, {way}: {result[way]}", file=sys.stderr)
    return result


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="gpt2")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument(
        "--ways", nargs="+", choices=["import", "from_preset"], default=["import", "from_preset"]
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    config = GPT2Config.from_preset(options.preset)
    forms = {form: measure(config, form, options.ways) for form in options.forms}
    result = {
        "preset": options.preset,
        "weights_megabytes": round(4 * config.num_parameters / 1e6),
        "forms": forms,
        "versions": versions("keras", "tensorflow", "numpy", "safetensors", "h5py"),
        "machine": machine(),
    }
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    return int(any(way["times_the_weights"] > LIMIT for form in forms.values() for way in form.values()))


if __name__ == "__main__":
    sys.exit(main())
