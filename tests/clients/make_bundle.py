"""Train a small GPT-2 for a moment and export it: the bundle that the clients read."""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from pathlib import Path

import keras

import kerasgpt
import kerasgpt.engines


def main(bundle: str) -> None:
    """Write the bundle."""
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
        model.fit(data, steps_per_epoch=60, verbose=0)
    kerasgpt.export_bundle(
        model, tokenizer, bundle, formats=("onnx",), precisions=kerasgpt.engines.PRECISIONS
    )


if __name__ == "__main__":
    main(sys.argv[1])
