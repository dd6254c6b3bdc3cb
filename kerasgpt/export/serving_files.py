"""The files of serving/: requests in every form, settings of the server, and the page that explains them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from kerasgpt import artifacts
from kerasgpt.architectures import AnyConfig
from kerasgpt.atomic import unpatterned, write_text
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.example_requests import Arrays, Examples, texts_of
from kerasgpt.export.predict_request import predict_request
from kerasgpt.export.signatures import Signature, TensorSpec, is_compiled, read_signatures
from kerasgpt.export.warmup import bucket_inputs, warmup_inputs, write_warmup
from kerasgpt.tokenizer.bpe import Tokenizer

TEMPLATES: Final = ("README.md", "models.config", "batching.config", "compose.yaml")
TENSORS_FILE: Final = "assets.extra/tensors.txt"
_LARGEST_EXAMPLE: Final = 10_000  # numbers; what is larger, such as a KV cache, nobody reads


def write_files(bundle: Path, name: str) -> None:
    """Write ``serving/``, and into each SavedModel's ``assets.extra/`` warm-up requests and tensor names.

    Args:
        bundle: in the making, with its SavedModel, tokenizer and settings; SavedModels in further precisions
            lie beside it, in ``saved_model_*/1``.
        name: the model's on the server.

    Raises:
        KerasGPTError: the SavedModel refuses an example, or a file cannot be written.
    """
    saved_model, folder = bundle / artifacts.SAVED_MODEL, bundle / artifacts.SERVING_FOLDER
    signatures, config = read_signatures(saved_model), artifacts.read_config(bundle)
    settings = artifacts.read_generation_config(bundle)
    with _graphs_as_they_are():
        model = _loaded(saved_model)
        tokenizer = Tokenizer.from_preset(bundle)
        examples = Examples.of(texts_of(model), tokenizer, settings, config.max_sequence_length)
        _write_extra_assets(saved_model, model, name, examples, config)
        del model  # two need twice the memory
        for each in sorted(bundle.glob("saved_model_*/1")):
            _write_extra_assets(each, _loaded(each), name, examples, config)
    for signature in signatures.values():
        inputs = examples.inputs(signature)
        if inputs is not None and sum(array.size for array in inputs.values()) <= _LARGEST_EXAMPLE:
            _write_examples(folder, name, signature.name, inputs)
    _write_templates(folder, name, signatures)


def _loaded(path: Path) -> Any:
    with unpatterned(path) as plain:
        return tf.saved_model.load(str(plain))


@contextmanager
def _graphs_as_they_are() -> Iterator[None]:
    """Let TensorFlow run graphs without improving them first, which takes longer than the few tokens here."""
    before = tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})


def _write_extra_assets(
    saved_model: Path, model: Any, name: str, examples: Examples, config: AnyConfig
) -> None:
    """Write what lies inside a SavedModel, `model` being what it loads as."""
    signatures = read_signatures(saved_model)
    asked = warmup_inputs(model, signatures, examples)
    if isinstance(config, GPT2Config) and is_compiled(saved_model):
        asked += bucket_inputs(model, signatures["generate_tokens"], config)
    write_warmup(saved_model, [predict_request(name, *each) for each in asked])
    write_text(saved_model / TENSORS_FILE, _tensors(signatures))


def row_form(inputs: Mapping[str, np.ndarray[Any, Any]]) -> list[Any]:
    """Arrays (B, ...) as REST's ``instances``: an object a row, or bare values if there is one input.

    >>> row_form({"seed": np.array([1, 2]), "prompts": np.array([b"a", b"b"], object)})
    [{'seed': 1, 'prompts': 'a'}, {'seed': 2, 'prompts': 'b'}]
    >>> row_form({"prompts": np.array([b"a", b"b"], object)})
    ['a', 'b']
    """
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*map(plain, inputs.values()), strict=True)]
    return [value for row in rows for value in row.values()] if len(inputs) == 1 else rows


def plain(array: np.ndarray[Any, Any]) -> list[Any]:
    """An array as nested lists of what JSON knows: bytes as text, float32 with no more digits than it has.

    >>> plain(np.array([0.8], np.float32))
    [0.8]
    """
    if array.dtype == object:
        return [value.decode() for value in array]
    if array.dtype == np.float32:
        array = array.astype(str).astype(np.float64)
    values: list[Any] = array.tolist()
    return values


def _write_examples(folder: Path, model: str, signature: str, inputs: Arrays) -> None:
    """Write a request in each of the forms that a server takes."""
    columns = {name: plain(array) for name, array in inputs.items()}
    forms: dict[str, dict[str, Any]] = {
        "rows": {"instances": row_form(inputs)},
        "columns": {"inputs": columns},
    }
    for form, content in forms.items():
        request = {"signature_name": signature, **content}
        artifacts.write_json(folder / "rest" / f"{signature}.{form}.json", request)
    message = predict_request(model, signature, inputs)
    write_text(folder / "grpc" / f"{signature}.pbtxt", text_format.MessageToString(message))


def _write_templates(folder: Path, name: str, signatures: Mapping[str, Signature]) -> None:
    rows = [
        f"| `{each.name}` | {_listed(each.inputs, each.defaults)} | {_listed(each.outputs, {})} |"
        for each in signatures.values()
    ]
    words = {"name": name, "signatures": "\n".join(rows)}
    templates = resources.files("kerasgpt") / "assets" / "serving"
    for file in TEMPLATES:
        text = (templates / file).read_text("utf-8")
        write_text(folder / file, Template(text).substitute(words))


def _listed(specs: Mapping[str, TensorSpec], defaults: Mapping[str, np.ndarray[Any, Any]]) -> str:
    said = {name: f" = {json.dumps(plain(array)[0])}" for name, array in defaults.items()}
    return "<br>".join(f"`{name}` {spec}{said.get(name, '')}" for name, spec in specs.items())


def _tensors(signatures: Mapping[str, Signature]) -> str:
    """The graph's tensors behind each signature, a line each, for programs that do not read protobuf."""
    lines = [
        f"{signature.name} {kind} {name} {spec.dtype} {' '.join(spec.tensor.rsplit(':', 1))}"
        for signature in signatures.values()
        for kind, specs in (("input", signature.inputs), ("output", signature.outputs))
        for name, spec in specs.items()
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Run as ``python -m kerasgpt.export.serving_files BUNDLE NAME``."""
    bundle, name = arguments
    try:
        write_files(Path(bundle), name)
    except KerasGPTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
