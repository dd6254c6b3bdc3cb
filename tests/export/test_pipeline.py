"""A bundle holds what it says; an export that fails or is refused leaves nothing and destroys nothing."""

import shutil

import numpy as np
import pytest

from kerasgpt import GenerationConfig, load
from kerasgpt.artifacts import (
    FAST_FP32,
    FORMATS,
    MODEL_CARD,
    ONNX_MODEL,
    SOFT_PROMPT,
    TASK,
    read_generation_config,
)
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export import artifact_writing
from kerasgpt.export.pipeline import export_folder
from kerasgpt.generation.soft_prompt import save_soft_prompt
from kerasgpt.manifest import Manifest
from kerasgpt.tasks.templates import DEFAULTS, read_template

SETTINGS = GenerationConfig(max_new_tokens=8)


def test_a_bundle_holds_what_it_says(bundle):
    manifest = Manifest.read(bundle)
    assert manifest.formats == ["saved_model", "onnx"]
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert files == {*manifest.files, "kerasgpt.json"}
    assert not manifest.damaged_files(bundle)
    assert read_generation_config(bundle).max_new_tokens == 12
    assert {"python", "keras", "onnxruntime"} <= set(manifest.provenance["versions"])


def test_what_is_exported_is_proved_and_reported(export, tmp_path):
    said = []
    proofs = export("onnx", proved=["onnx"], provenance={"run": "mine"}, tell=said.append)
    assert [proof.engine for proof in proofs] == ["keras", "onnx", "fast_fp32"]
    assert proofs[1].parity.holds
    assert proofs[1].parity.max_logit_error < 1e-4
    assert proofs[1].parity.max_cached_logit_error < 1e-4
    assert Manifest.read(tmp_path / "bundle").provenance["run"] == "mine"
    assert f"{ONNX_MODEL}: {proofs[1].sentence}" in said
    assert said[-1] == f"{FAST_FP32}: {proofs[2].sentence}"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_template_of_a_task_goes_along(model_folder, tmp_path, monkeypatch, prove_only):
    monkeypatch.setattr(artifact_writing, "prove", prove_only())
    shutil.copytree(model_folder, tmp_path / "source")
    DEFAULTS["translation"].write(tmp_path / "source")
    export_folder(tmp_path / "source", tmp_path / "bundle", formats=("onnx",))
    assert read_template(tmp_path / "bundle") == DEFAULTS["translation"]
    assert TASK in Manifest.read(tmp_path / "bundle").files


def test_the_model_card_is_the_bundles_readme(export, tmp_path):
    export("onnx", model_card="# A small model\n")
    assert (tmp_path / "bundle" / MODEL_CARD).read_text() == "# A small model\n"
    assert MODEL_CARD in Manifest.read(tmp_path / "bundle").files


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
def test_a_failed_export_keeps_the_bundle_that_was_there(export, tmp_path, monkeypatch, failure):
    export("onnx")
    before = Manifest.read(tmp_path / "bundle")

    def fail(model, bundle):
        (bundle / "onnx").mkdir()
        (bundle / ONNX_MODEL).write_bytes(b"half")
        raise failure

    monkeypatch.setattr(artifact_writing, "_write_onnx", fail)
    with pytest.raises((KeyboardInterrupt, MemoryError, KerasGPTError)):
        export("onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert Manifest.read(tmp_path / "bundle") == before
    assert not before.damaged_files(tmp_path / "bundle")


def test_a_new_export_replaces_the_old_as_a_whole(export, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    export("onnx")
    assert not (tmp_path / "bundle" / FORMATS["saved_model"]).exists()
    assert Manifest.read(tmp_path / "bundle").formats == ["onnx"]
    assert load(tmp_path / "bundle").generate(["The"], SETTINGS)[0].token_ids


@pytest.mark.parametrize("formats", [("onx",), (), ("onnx", "gguf")])
def test_wrong_requests_are_refused_before_anything_is_written(export, tmp_path, formats):
    with pytest.raises(UsageError):
        export(*formats)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("formats", "precision"), [(["onnx"], "bf16"), (["saved_model"], "int4")])
def test_a_precision_that_no_format_has_is_refused(export, formats, precision):
    with pytest.raises(UsageError, match=f"precision {precision}: {formats[0]} has no such file"):
        export(*formats, precisions=["fp32", precision])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"generation_config": GenerationConfig(bad_words_ids=[[9999]])},
            "bad_words_ids holds id 9999: ids go",
        ),
        ({"generation_config": GenerationConfig(logit_bias={9999: 1})}, "logit_bias holds id 9999"),
    ],
    ids=["words", "biases"],
)
def test_settings_that_no_text_could_be_written_by_are_refused(export, tmp_path, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        export("onnx", **options)
    assert not any(tmp_path.iterdir())


def test_a_soft_prompt_of_another_model_is_refused(model_folder, tmp_path):
    source = shutil.copytree(model_folder, tmp_path / "source")
    save_soft_prompt(np.ones((3, 7), np.float32), source / SOFT_PROMPT, "base", {})
    with pytest.raises(UsageError, match=r"of shape \(3, 7\): the model's vectors are 16 wide"):
        export_folder(source, tmp_path / "bundle", formats=("onnx",))
    assert not (tmp_path / "bundle").exists()


def test_a_text_is_no_list_of_formats(export, tmp_path, model_folder):
    with pytest.raises(UsageError, match="a list of formats is needed, and this is one text"):
        export_folder(model_folder, tmp_path / "bundle", formats="onnx")
