"""What each precision costs a trained model, beside llama.cpp's formats of the same weights.

``python benchmarks/quantized_accuracy.py BUNDLE TEXT... [--peers PYTHON] [--limit TOKENS]``

Perplexity on held-out text, in windows of the context of which the second half counts; in percent of
float32's, with the standard error over the windows, since two quantised forms differ by less than a text can
tell. `rms` is the root mean square of a token's change in nats, which has no luck in it. ``--peers`` names
the Python of an environment with decode_latency.requirements.txt in it. Writes
benchmarks/results/quantized_accuracy.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from machine import machine, versions
from numpy.typing import NDArray

from kerasgpt import artifacts
from kerasgpt.artifacts import VARIANTS, read_config, write_json
from kerasgpt.generation.probabilities import log_softmax
from kerasgpt.runtime.language_model import open_step_model
from kerasgpt.tokenizer.bpe import Tokenizer

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "quantized_accuracy.json"
LLAMA_FORMATS = ("f32", "Q8_0", "Q4_0")
ROWS_AT_ONCE = 8

Losses = NDArray[np.float64]


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="with every precision, as `kerasgpt export` writes it")
    parser.add_argument("texts", nargs="+", help="held-out text, UTF-8")
    parser.add_argument("--peers", help="Python of the environment with llama.cpp")
    parser.add_argument("--limit", type=int, default=300_000, help="tokens read of each text")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    bundle, found = Path(arguments.bundle), {}
    for path in arguments.texts:
        rows = windows(bundle, Path(path), arguments.limit)
        losses = ours(bundle, rows)
        if arguments.peers:
            losses |= llama_losses(bundle, rows, arguments.peers)
        name = f"{Path(path).parent.name}/{Path(path).name}"
        found[name] = {"num_tokens": rows.shape[0] * (rows.shape[1] - rows.shape[1] // 2), **compared(losses)}
    config = read_config(bundle)
    model = {"num_parameters": config.num_parameters, "hidden_dim": config.hidden_dim}
    facts = {"machine": machine(), "versions": versions("onnxruntime", "numpy"), "model": model}
    write_json(arguments.out, {**facts, "texts": found})
    print(json.dumps(found, indent=2))


def windows(bundle: Path, path: Path, limit: int) -> NDArray[np.int64]:
    """Rows (R, context) of a text's ids."""
    context = read_config(bundle).max_sequence_length
    ids = np.array(Tokenizer.from_preset(bundle).encode(path.read_text(encoding="utf-8"))[:limit], np.int64)
    num_rows = len(ids) // context
    return ids[: num_rows * context].reshape(num_rows, context)


def ours(bundle: Path, rows: NDArray[np.int64]) -> dict[str, Losses]:
    """The losses of each of a bundle's ONNX files."""
    files = {"onnx": artifacts.ONNX_MODEL, **{name: file for name, (file, _) in VARIANTS.items()}}
    return {file: onnx_losses(bundle / file, rows) for file in files.values() if (bundle / file).is_file()}


def onnx_losses(path: Path, rows: NDArray[np.int64]) -> Losses:
    """Nats of the second half of each row."""
    width, half = rows.shape[1], rows.shape[1] // 2
    model = open_step_model(path, max_sequence_length=width)
    losses = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        logits = model.all_logits(part, np.full(len(part), width))[:, half - 1 : width - 1]
        losses.append(-np.take_along_axis(log_softmax(logits), part[:, half:, None], axis=-1)[..., 0])
    return np.concatenate(losses).astype(np.float64)


def llama_losses(bundle: Path, rows: NDArray[np.int64], peers: str) -> dict[str, Losses]:
    """The same of llama.cpp's formats."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.save(folder / "rows.npy", rows)
        subprocess.run([peers, HERE / "engines/gguf_file.py", bundle, folder], check=True)
        for name in LLAMA_FORMATS:
            files = [folder / f"{name}.gguf", folder / "rows.npy", folder / f"{name}.npy"]
            subprocess.run([peers, HERE / "engines/llamacpp_losses.py", *files], check=True)
            found[f"llama.cpp {name}"] = np.load(files[-1])
    return found


def compared(losses: dict[str, Losses]) -> dict[str, dict[str, float]]:
    """Perplexities, and how far they are from the portable float32 file's."""
    exact = losses[artifacts.ONNX_MODEL]
    return {
        name: {
            "perplexity": round(float(np.exp(found.mean())), 4),
            "change_percent": round(100 * float(np.expm1((found - exact).mean())), 4),
            "standard_error_percent": round(
                100 * float((found - exact).mean(axis=1).std() / np.sqrt(len(found))), 4
            ),
            "rms_nats": round(float(np.sqrt(np.square(found - exact).mean())), 5),
        }
        for name, found in losses.items()
    }


if __name__ == "__main__":
    main()
