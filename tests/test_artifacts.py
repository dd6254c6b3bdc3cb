"""Folders are told apart: of a model, of a run, a bundle, or none of them."""

import pytest

from kerasgpt.artifacts import MANIFEST, folder_kind, model_folder, read_config
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


def test_no_link_leads_out_of_a_bundle(tiny_bundle, golden_folder):
    (tiny_bundle / "link.json").symlink_to("config.json")
    assert folder_kind(tiny_bundle) == "bundle"
    (tiny_bundle / "config.json").unlink()
    (tiny_bundle / "config.json").symlink_to(golden_folder / "config.json")
    for read in (folder_kind, read_config):
        with pytest.raises(KerasGPTError, match=r"\.json: leads to .*, outside the bundle; refused"):
            read(tiny_bundle)
    (tiny_bundle / MANIFEST).unlink()  # a model folder's files may be links, as in Hugging Face's cache
    assert read_config(tiny_bundle) == read_config(golden_folder)
