"""The files beside a SavedModel; that a server takes them is tests/end_to_end/test_tf_serving.py."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from kerasgpt.artifacts import SAVED_MODEL, SERVING_FOLDER
from kerasgpt.export.serving_files import TEMPLATES, TENSORS_FILE, main, plain, row_form, write_files
from kerasgpt.export.warmup import WARMUP_FILE
from kerasgpt.manifest import Manifest
from tests.tf_serving.fake_model import write_fake


def test_a_bundle_has_them_and_hashes_them(bundle: Path) -> None:
    files = set(Manifest.read(bundle).files)
    assert {f"{SERVING_FOLDER}/{name}" for name in TEMPLATES} <= files
    assert {f"{SAVED_MODEL}/{WARMUP_FILE}", f"{SAVED_MODEL}/{TENSORS_FILE}"} <= files
    assert {f"{SERVING_FOLDER}/grpc/generate.pbtxt", f"{SERVING_FOLDER}/rest/generate.rows.json"} <= files


def test_the_tensors_are_those_of_the_graph(bundle: Path) -> None:
    content = saved_model_pb2.SavedModel.FromString((bundle / SAVED_MODEL / "saved_model.pb").read_bytes())
    lines = [line.split(" ") for line in (bundle / SAVED_MODEL / TENSORS_FILE).read_text().splitlines()]
    told = {
        (signature, kind, name): f"{operation}:{index}"
        for signature, kind, name, _, operation, index in lines
    }
    expected = {
        (signature, kind, name): info.name
        for signature, definition in content.meta_graphs[0].signature_def.items()
        if signature != "__saved_model_init_op"
        for kind, infos in (("input", definition.inputs), ("output", definition.outputs))
        for name, info in infos.items()
    }
    assert told == expected


def test_numbers_have_no_more_digits_than_they_have() -> None:
    numbers = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    written = json.loads(json.dumps(plain(numbers)))
    np.testing.assert_array_equal(np.float32(written), numbers)
    assert plain(np.array([[0.8, 1.1]], np.float32)) == [[0.8, 1.1]]
    assert plain(np.array(["naïve".encode()], object)) == ["naïve"]


def test_rows_of_several_inputs_are_objects() -> None:
    inputs = {"ids": np.array([[1, 2], [3, 4]]), "temperature": np.array([0.1, 0], np.float32)}
    assert row_form(inputs) == [{"ids": [1, 2], "temperature": 0.1}, {"ids": [3, 4], "temperature": 0.0}]
    assert row_form({"ids": inputs["ids"]}) == [[1, 2], [3, 4]]


@pytest.fixture
def other(bundle_copy: Path) -> Path:
    """A bundle whose SavedModel has other signatures, some that stream among them."""
    for name in (SAVED_MODEL, SERVING_FOLDER):
        shutil.rmtree(bundle_copy / name)
    write_fake(bundle_copy / SAVED_MODEL)
    return bundle_copy


def test_whatever_signatures_there_are(other: Path) -> None:
    write_fake(other / "saved_model_int8" / "1")
    write_files(other, "other")
    assert (other / "saved_model_int8/1" / WARMUP_FILE).read_bytes() == (
        other / SAVED_MODEL / WARMUP_FILE
    ).read_bytes()
    folder = other / SERVING_FOLDER
    shown = {path.stem for path in (folder / "grpc").iterdir()}
    assert shown == {"serving_default", "generate", "prefill", "with_defaults", "total"}  # no cache by hand
    assert "| `decode` | `keys` float32 (?, 1, 2, ?, 1)<br>" in (folder / "README.md").read_text()
    page = (folder / "README.md").read_text()
    assert (
        "`max_new_tokens` int64 (?) = 5<br>`prompts` string (?)<br>`temperature` float32 (?) = 0.5 |" in page
    )
    rows = json.loads((folder / "rest" / "generate.rows.json").read_text())
    assert rows["signature_name"] == "generate"
    assert rows["instances"][0] | {"prompts": "", "max_new_tokens": 0} == {
        "prompts": "",
        "max_new_tokens": 0,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "seed": 0,
        "stop": "",
    }


def test_the_child_process_writes_them_too(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(other), "name"]) == 0
    assert 'name: "name"' in (other / SERVING_FOLDER / "models.config").read_text()
    (other / SAVED_MODEL / "saved_model.pb").unlink()
    assert main([str(other), "name"]) == 1
    assert "saved_model.pb: no SavedModel" in capsys.readouterr().err
