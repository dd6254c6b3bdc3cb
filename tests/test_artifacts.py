"""Folders are told apart: of a model, of a run, a bundle, or none of them."""

import pytest

from kerasgpt.artifacts import folder_kind, model_folder, read_generation_config, write_json
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


def test_a_wrong_type_in_a_generation_config_is_named_with_its_file(tmp_path):
    path = tmp_path / "generation_config.json"
    write_json(path, {"max_new_tokens": "5"})
    with pytest.raises(KerasGPTError, match="generation_config.json: max_new_tokens is '5': it must be"):
        read_generation_config(tmp_path)
