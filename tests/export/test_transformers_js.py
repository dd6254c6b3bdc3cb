"""transformers.js learns which file it can have, and which have their weights beside them."""

from pathlib import Path

import numpy as np
import pytest

from kerasgpt import GPT2CausalLM, Tokenizer, export_bundle, load
from kerasgpt.artifacts import CONFIG, ONNX_MODEL, read_config, write_json
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config, read_json
from kerasgpt.export import artifact_writing
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.kernels import Standard
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.export.transformers_js import FILES, write_transformers_js
from kerasgpt.manifest import Manifest

SMALL = GPT2Config(vocabulary_size=300, max_sequence_length=9, num_layers=1, num_heads=2, hidden_dim=32)
KERNELS = dict(zip(FILES, (Standard(), Standard(half=True), Blockwise(8), Blockwise(4)), strict=True))
BETWEEN = 40_000  # bytes of weights: more than the two files of integers have, less than the others


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / CONFIG, SMALL.to_huggingface())
    return tmp_path


def write_files(folder: Path, largest_file: int) -> None:
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(SMALL).items()}
    for name, kernels in KERNELS.items():
        write_onnx(SMALL, weights, folder / name, kernels=kernels, largest_file=largest_file)
    write_transformers_js(folder)


def test_whole_files_need_no_word(folder: Path) -> None:
    before = (folder / CONFIG).read_bytes()
    write_files(folder, largest_file=2**20)
    assert (folder / CONFIG).read_bytes() == before


def test_each_file_with_its_weights_beside_it_is_named(folder: Path) -> None:
    write_files(folder, largest_file=BETWEEN)
    said = read_json(folder / CONFIG)["transformers.js_config"]
    assert said == {"use_external_data_format": {"model.onnx": 1, "model_fp16.onnx": 1}}
    assert {path.name for path in (folder / "onnx").glob("*_data")} == {
        "model.onnx_data",
        "model_fp16.onnx_data",
    }
    assert read_config(folder) == SMALL


def test_without_the_file_that_pages_ask_for_another_is_named(folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / ONNX_MODEL).touch()
    write_transformers_js(folder)
    assert read_json(folder / CONFIG)["transformers.js_config"] == {"dtype": "fp32"}
    assert read_config(folder) == SMALL


def test_an_export_says_it_and_lists_all_files(
    trained: tuple[GPT2CausalLM, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prove_only
) -> None:
    def write_beside(model: GPT2CausalLM, bundle: Path):
        write_onnx(model.config, named_arrays(model), bundle / ONNX_MODEL, largest_file=1000)

    monkeypatch.setattr(artifact_writing, "_write_onnx", write_beside)
    monkeypatch.setattr(artifact_writing, "prove", prove_only("onnx"))
    export_bundle(*trained, tmp_path / "bundle", ("onnx",))
    said = read_json(tmp_path / "bundle" / CONFIG)["transformers.js_config"]
    assert said == {"dtype": "fp32", "use_external_data_format": {"model.onnx": 1}}
    manifest = Manifest.read(tmp_path / "bundle")
    assert f"{ONNX_MODEL}_data" in manifest.files
    assert not manifest.damaged_files(tmp_path / "bundle")
    assert load(tmp_path / "bundle").generate(["The"])[0].token_ids
