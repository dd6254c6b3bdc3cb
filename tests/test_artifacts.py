"""Folders are told apart: of a model, of a run, a bundle, or none of them."""

import pytest

from kerasgpt.artifacts import folder_kind, model_folder
from kerasgpt.errors import KerasGPTError


def test_kinds_of_folders(tmp_path, tiny_bundle, golden_folder):
    assert folder_kind(tiny_bundle) == "bundle"
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
def test_other_folders_are_refused(tiny_bundle, name, sentence):
    with pytest.raises(KerasGPTError, match=sentence):
        folder_kind(tiny_bundle / name)
