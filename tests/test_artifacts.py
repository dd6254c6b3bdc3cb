"""Folders are told apart: of a model, of a run, a bundle, or none of them."""

import json

import pytest

from kerasgpt.artifacts import (
    GENERATION_CONFIG,
    MANIFEST,
    folder_kind,
    lies_in,
    model_folder,
    read_config,
    read_generation_config,
)
from kerasgpt.errors import KerasGPTError


def test_kinds_of_folders(tmp_path, tiny_bundle, golden_folder):
    assert folder_kind(tiny_bundle) == "bundle"
    assert folder_kind(golden_folder) == "model"
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "config.toml").write_text("")
    assert folder_kind(run) == "run"
    with pytest.raises(
        KerasGPTError, match="no model yet: .* go on with 'kerasgpt train --resume --out .*run'$"
    ):
        model_folder(run)
    (run / "model" / "config.json").write_text("{}")
    assert model_folder(run) == run / "model"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "nowhere: no such folder; give"),
        ("onnx/model.onnx", "model.onnx: is a file; give a model folder"),
        ("onnx", "neither a model"),
    ],
)
def test_other_folders_are_refused(tiny_bundle, name, sentence):
    with pytest.raises(KerasGPTError, match=sentence):
        folder_kind(tiny_bundle / name)


def test_no_link_leads_out_of_a_bundle(tiny_bundle, golden_folder):
    (tiny_bundle / "link.json").symlink_to("config.json")
    (tiny_bundle / "loop").symlink_to("loop")
    assert folder_kind(tiny_bundle) == "bundle"
    assert lies_in(tiny_bundle, tiny_bundle / "loop")
    (tiny_bundle / "config.json").unlink()
    (tiny_bundle / "config.json").symlink_to(golden_folder / "config.json")
    for read in (folder_kind, read_config):
        with pytest.raises(KerasGPTError, match=r"\.json: leads to .*, outside the bundle; refused"):
            read(tiny_bundle)
    (tiny_bundle / MANIFEST).unlink()  # a model folder's files may be links, as in Hugging Face's cache
    assert read_config(tiny_bundle) == read_config(golden_folder)


@pytest.mark.parametrize("settings", [{"max_new_tokens": "9"}, {"sequence_bias": 3}, {"bad_words_ids": [7]}])
def test_a_setting_of_the_wrong_kind_is_refused_with_its_file(tmp_path, settings):
    (tmp_path / GENERATION_CONFIG).write_text(json.dumps(settings))
    with pytest.raises(
        KerasGPTError, match=rf"{GENERATION_CONFIG}: .*{next(iter(settings))} is .*: it must be"
    ):
        read_generation_config(tmp_path)
