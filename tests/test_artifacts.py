"""Folders are told apart: of a model, of a run, a bundle, or none of them."""

import pytest

from kerasgpt.artifacts import folder_kind, model_folder
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
