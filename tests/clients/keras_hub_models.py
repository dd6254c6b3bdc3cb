"""KerasHub's GPT-2 is read from folder and memory and exported in one call; KerasHub reads what we write."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import keras
import keras_hub
import numpy as np

from kerasgpt import GenerationConfig, export_bundle, load
from kerasgpt.checkpoints.formats import read_tokenizer
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.cli import main as kerasgpt
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer

TOLERANCE = 1e-5
CONTEXT = 48
PROMPTS = ["First Citizen:", "What light through yonder", "\n", "the end of the world is"]


def main(bundle: str) -> int:
    """Compare logits, weights, vocabularies and texts, in both directions."""
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
        unequal = written_otherwise(keras_hub_model(tokenizer), tokenizer, Path(scratch) / "bundle")
    problems = [] if read and read.vocabulary == tokenizer.vocabulary else ["the vocabulary differs"]
    if dict(back.preprocessor.tokenizer.vocabulary) != tokenizer.vocabulary:
        problems.append("KerasHub reads another vocabulary from the preset written here")
    pairs = zip(theirs.backbone.weights, back.backbone.weights, strict=True)
    if any(left.numpy().tobytes() != right.numpy().tobytes() for left, right in pairs):
        problems.append("KerasHub reads other weights from the preset written here")
    problems += unequal
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
        max_sequence_length=CONTEXT,
    )
    for variable in backbone.trainable_variables:
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.1))
    merges = [" ".join(pair) for pair in tokenizer.merges]
    pieces = keras_hub.models.GPT2Tokenizer(vocabulary=tokenizer.vocabulary, merges=merges)
    preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(pieces, sequence_length=CONTEXT)
    return keras_hub.models.GPT2CausalLM(backbone, preprocessor=preprocessor)


def written_otherwise(theirs: keras_hub.models.GPT2CausalLM, tokenizer: Tokenizer, bundle: Path) -> list[str]:
    """Export the model in one call; what its ONNX and SavedModel write otherwise than KerasHub's own loop."""
    theirs.backbone.enable_lora(2)  # fine-tuned, as a model that is to be shipped often is
    for variable in theirs.backbone.trainable_variables:
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.2))
    export_bundle(theirs, None, bundle)
    rows = [tokenizer.encode(prompt) for prompt in PROMPTS]
    wanted = keras_hub_continuations(theirs, rows, tokenizer.end_of_text_id)
    settings = GenerationConfig(max_new_tokens=CONTEXT // 2)
    problems = []
    for engine in ("onnx", "saved_model"):
        lm = load(bundle, engine=engine)
        found = [generation.token_ids for generation in lm.generate(PROMPTS, settings)]
        if found != wanted:
            problems.append(f"the {engine} of the export in one call writes {found}, KerasHub {wanted}")
    print(f"       exported in one call: {sum(map(len, wanted))} greedy ids of KerasHub's generate, twice")
    return problems


def keras_hub_continuations(
    theirs: keras_hub.models.GPT2CausalLM, rows: list[list[int]], end: int
) -> list[list[int]]:
    """What KerasHub's `generate` appends to each row of ids, up to the end of text."""
    model = keras_hub.models.GPT2CausalLM(theirs.backbone, preprocessor=None)
    model.compile(sampler="greedy")
    continuations = []
    for row in rows:
        length = len(row) + CONTEXT // 2
        ids = np.array([row + [0] * (length - len(row))], "int32")
        inputs = {"token_ids": ids, "padding_mask": np.arange(length)[None] < len(row)}
        written = np.asarray(model.generate(inputs, stop_token_ids=None)["token_ids"])[0, len(row) :].tolist()
        continuations.append(written[: written.index(end) + 1] if end in written else written)
    return continuations


def keras_hub_logits(model: keras_hub.models.GPT2CausalLM, ids: np.ndarray) -> np.ndarray:
    """(B, T, V)."""
    return np.asarray(model({"token_ids": ids, "padding_mask": np.ones_like(ids)}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
