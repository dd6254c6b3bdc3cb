"""Folders are told apart, and manifests notice every change."""

import json

import pytest

from kerasgpt.artifacts import MANIFEST, folder_kind, model_folder
from kerasgpt.errors import KerasGPTError
from kerasgpt.manifest import Manifest


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"graph")
    Manifest.of_folder(tmp_path, ["onnx"], {"source": "a test"}).write(tmp_path)
    return tmp_path


def test_kinds_of_folders(tmp_path, bundle, golden_folder):
    assert folder_kind(bundle) == "bundle"
    assert folder_kind(golden_folder) == "model"
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "config.toml").write_text("")
    assert folder_kind(run) == "run"
    with pytest.raises(KerasGPTError, match="this run has no model yet"):
        model_folder(run)
    (run / "model" / "config.json").write_text("{}")
    assert model_folder(run) == run / "model"


@pytest.mark.parametrize(("name", "sentence"), [("nowhere", "no such folder"), ("onnx", "neither a model")])
def test_other_folders_are_refused(bundle, name, sentence):
    with pytest.raises(KerasGPTError, match=sentence):
        folder_kind(bundle / name)


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
