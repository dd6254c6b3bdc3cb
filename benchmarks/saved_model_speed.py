"""How fast the SavedModel is in each precision and compiled by XLA, in turn with keras-hub's ``generate``.

``python benchmarks/saved_model_speed.py MODEL [--peers PYTHON]``

MODEL is a model folder; its SavedModels are written to a scratch folder, and each runs in a process of its
own by TensorFlow alone. What is measured is what `decode_latency.py` measures, and the sizes on disk and the
seconds to load. The text of random weights goes round in circles, which drafts shorten: so the first one runs
without them too (`trained_text.py` says what they gain on others). ``--peers`` names the Python of
an environment with keras-hub in it. Writes benchmarks/results/saved_model_speed.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from decode_latency import HERE, measure, table
from machine import machine, versions

import kerasgpt
from kerasgpt.artifacts import SAVED_MODEL_PRECISIONS, read_config, write_json
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.export.report import size_in_bytes
from kerasgpt.export.saved_model import guesses_of, write_saved_model

RESULTS = HERE / "results" / "saved_model_speed.json"


def main() -> None:
    """Write the files, measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--peers", help="Python of an environment with keras-hub")
    parser.add_argument("--tokens", type=int, default=64, help="written after each prompt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = write_all(arguments.model, Path(scratch))
        script = str(HERE / "engines/saved_model.py")
        commands = {name: [sys.executable, script, str(folder)] for name, folder in folders.items()}
        first = next(iter(folders))
        commands[f"{first}, no drafts"] = [*commands[first], "1.000001"]
        if arguments.peers:
            script = str(HERE / "engines/kerashub.py")
            commands["keras-hub float32"] = [arguments.peers, script, str(arguments.model), "float32"]
        result = measure(commands, read_config(arguments.model), arguments.tokens, arguments.rounds)
        sizes = {name: size_in_bytes(folder) for name, folder in folders.items()}
    facts = {"machine": machine(), "versions": versions("tensorflow", "numpy")}
    write_json(arguments.out, {**facts, "new_tokens": arguments.tokens, "size_bytes": sizes, **result})
    print(table(result["engines"]))


def write_all(source: Path, scratch: Path) -> dict[str, Path]:
    """The SavedModels of a model: name -> folder."""
    model = kerasgpt.GPT2CausalLM.from_preset(source)
    tokenizer = kerasgpt.Tokenizer.from_preset(source)
    weights, settings = named_arrays(model), kerasgpt.GenerationConfig()
    guesses = guesses_of(model.config, weights)
    folders = {}
    for precision, xla in [*((name, False) for name in SAVED_MODEL_PRECISIONS), ("fp32", True)]:
        name = f"SavedModel {precision}{' XLA' if xla else ''}"
        folders[name] = scratch / f"{precision}{xla}"
        given = (model.config, weights, tokenizer, settings, folders[name], precision)
        write_saved_model(*given, xla=xla, guesses=guesses)
        print(f"wrote {name}", file=sys.stderr)
    return folders


if __name__ == "__main__":
    main()
