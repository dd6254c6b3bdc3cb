"""Train a small GPT-2 for a moment and export it: the bundle that the clients read, and another beside it.

The other, ``BUNDLE-external``, is for those that have to be told where weights are: its one ONNX file has
them in a second one, as those of more than 2 GB have.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

import keras

import kerasgpt
from kerasgpt import artifacts
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.transformers_js import write_transformers_js


def main(bundle: str) -> None:
    """Write both."""
    keras.utils.set_random_seed(0)
    text = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text()[:200_000]
    tokenizer = kerasgpt.Tokenizer.learn([text], 400)
    config = kerasgpt.GPT2Config(
        tokenizer.vocabulary_size, max_sequence_length=128, num_layers=2, num_heads=4, hidden_dim=64
    )
    model = kerasgpt.GPT2CausalLM(config)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "text.txt"
        file.write_text(text)
        data = kerasgpt.dataset([file], tokenizer, 64, 16, 0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(3e-3), loss)
        # Enough for texts of more than a few tokens: line breaks alone any graph would write.
        model.fit(data, verbose=0)
    kerasgpt.export_bundle(
        model, tokenizer, bundle, formats=("onnx",), precisions=tuple(artifacts.ONNX_FILES)
    )
    write_external(model, Path(bundle), Path(f"{bundle}-external"))


def write_external(model: kerasgpt.GPT2CausalLM, bundle: Path, folder: Path) -> None:
    """Write the portable float32 file in two, and the other files that belong to it."""
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("*.onnx", artifacts.MANIFEST))
    write_onnx(model.config, named_arrays(model), folder / artifacts.ONNX_MODEL, largest_file=0)
    write_transformers_js(folder)


if __name__ == "__main__":
    main(sys.argv[1])
