"""Manifests notice every change, read back as they were written, and stay inside their bundle."""

import json

import pytest

from kerasgpt.artifacts import MANIFEST
from kerasgpt.errors import KerasGPTError
from kerasgpt.manifest import Manifest


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"graph")
    Manifest.of_folder(tmp_path, ["onnx"], {"source": "a test"}).write(tmp_path)
    return tmp_path


def test_an_intact_bundle_has_no_damage(bundle):
    manifest = Manifest.read(bundle)
    assert set(manifest.files) == {"config.json", "onnx/model.onnx"}
    assert manifest.damaged_files(bundle) == {}


def test_altered_and_missing_files_are_named(bundle):
    (bundle / "onnx" / "model.onnx").write_bytes(b"grapH")
    (bundle / "config.json").unlink()
    assert Manifest.read(bundle).damaged_files(bundle) == {
        "onnx/model.onnx": "altered",
        "config.json": "missing",
    }


def test_a_manifest_cannot_point_outside_its_bundle(bundle):
    content = json.loads((bundle / MANIFEST).read_text())
    content["files"]["../outside"] = "0" * 64
    (bundle / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(KerasGPTError, match="outside the bundle; refused"):
        Manifest.read(bundle)


def test_a_damaged_manifest_is_refused(bundle):
    (bundle / MANIFEST).write_text('{"files": 3}')
    with pytest.raises(KerasGPTError, match="damaged manifest"):
        Manifest.read(bundle)


def test_what_is_written_reads_back(bundle):
    written = Manifest({"a": "0" * 64}, ["onnx"], {"run": "mine"}, ["fp32", "int4"], model_type="lstm")
    written.write(bundle)
    assert Manifest.read(bundle) == written


def test_a_bundle_of_before_precisions_and_types_is_read(bundle):
    content = json.loads((bundle / MANIFEST).read_text())
    del content["precisions"], content["model_type"]
    (bundle / MANIFEST).write_text(json.dumps(content))
    manifest = Manifest.read(bundle)
    assert (manifest.precisions, manifest.model_type) == (["fp32"], "gpt2")
