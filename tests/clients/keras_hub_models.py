"""KerasHub's GPT-2 is read from its preset folder and from memory, and KerasHub reads what is written."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import keras
import keras_hub
import numpy as np

from kerasgpt.checkpoints.formats import read_tokenizer
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.cli import main as kerasgpt
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer

TOLERANCE = 1e-5


def main(bundle: str) -> int:
    """Compare logits, weights and vocabularies in both directions."""
    keras.utils.set_random_seed(3)
    tokenizer = Tokenizer.from_preset(bundle)
    theirs = keras_hub_model(tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        preset, imported, written = (Path(scratch) / name for name in ("preset", "imported", "written"))
        theirs.save_to_preset(str(preset))
        if kerasgpt(["import", str(preset), "--out", str(imported)]):
            return 1
        if kerasgpt(["import", str(imported), "--out", str(written), "--format", "keras_hub"]):
            return 1
        ours = {name: GPT2CausalLM.from_preset(source) for name, source in
                {"folder": preset, "object": theirs, "import": imported}.items()}  # fmt: skip
        again = keras_hub.models.GPT2CausalLM.from_preset(str(imported), preprocessor=None)
        back = keras_hub.models.GPT2CausalLM.from_preset(str(written))
        read = read_tokenizer(preset)
    problems = [] if read and read.vocabulary == tokenizer.vocabulary else ["the vocabulary differs"]
    if dict(back.preprocessor.tokenizer.vocabulary) != tokenizer.vocabulary:
        problems.append("KerasHub reads another vocabulary from the preset written here")
    pairs = zip(theirs.backbone.weights, back.backbone.weights, strict=True)
    if any(left.numpy().tobytes() != right.numpy().tobytes() for left, right in pairs):
        problems.append("KerasHub reads other weights from the preset written here")
    arrays = {name: named_arrays(model) for name, model in ours.items()}
    for name, found in arrays.items():
        if any(found[key].tobytes() != array.tobytes() for key, array in arrays["folder"].items()):
            problems.append(f"{name}: weights differ from the preset's")
    ids = np.random.default_rng(0).integers(0, tokenizer.vocabulary_size, (2, 20)).astype("int32")
    reference = keras_hub_logits(theirs, ids)
    found = {name: np.asarray(model(ids)) for name, model in ours.items()}
    found["KerasHub on the imported folder"] = keras_hub_logits(again, ids)
    found["KerasHub on the preset written here"] = keras_hub_logits(back, ids)
    errors = {name: float(np.abs(logits - reference).max()) for name, logits in found.items()}
    problems += [
        f"{name}: a logit differs by {error:.1e}" for name, error in errors.items() if error > TOLERANCE
    ]
    worst = max(errors.values())
    print(f"       keras-hub {keras_hub.__version__}: logits within {worst:.1e} in {len(errors)} ways")
    for problem in problems:
        print(f"keras_hub_models: {problem}", file=sys.stderr)
    return int(bool(problems))


def keras_hub_model(tokenizer: Tokenizer) -> keras_hub.models.GPT2CausalLM:
    """A random model whose biases and norms are not at their start, with a tokenizer."""
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=tokenizer.vocabulary_size,
        num_layers=3,
        num_heads=4,
        hidden_dim=32,
        intermediate_dim=128,  # KerasHub's own reader of Hugging Face folders knows no other than 4 D
        max_sequence_length=48,
    )
    for variable in backbone.trainable_variables:
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.1))
    merges = [" ".join(pair) for pair in tokenizer.merges]
    pieces = keras_hub.models.GPT2Tokenizer(vocabulary=tokenizer.vocabulary, merges=merges)
    preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(pieces, sequence_length=48)
    return keras_hub.models.GPT2CausalLM(backbone, preprocessor=preprocessor)


def keras_hub_logits(model: keras_hub.models.GPT2CausalLM, ids: np.ndarray) -> np.ndarray:
    """(B, T, V)."""
    return np.asarray(model({"token_ids": ids, "padding_mask": np.ones_like(ids)}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
