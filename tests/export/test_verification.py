"""One altered weight fails `verify` by its file's hash, and still by parity when the hash was mended."""

import shutil

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import numpy_helper

from kerasgpt.artifacts import FAST_FP32, MANIFEST, ONNX_MODEL, SAVED_MODEL, SOFT_PROMPT, WEIGHTS
from kerasgpt.errors import KerasGPTError
from kerasgpt.export import verification
from kerasgpt.export.verification import Check, Verification, verify
from kerasgpt.generation.soft_prompt import save_soft_prompt
from kerasgpt.manifest import Manifest

WEIGHT = "transformer.h.1.mlp.c_fc.weight"
CHANGE = 0.05  # against weights of standard deviation 0.5


def corrupt_safetensors(bundle):
    arrays = safetensors.numpy.load_file(bundle / WEIGHTS)
    arrays[WEIGHT][3, 5] += CHANGE
    safetensors.numpy.save_file(arrays, bundle / WEIGHTS, metadata={"format": "pt"})
    return WEIGHTS


def corrupt_onnx(bundle):
    proto = onnx.load(bundle / ONNX_MODEL)
    (tensor,) = [tensor for tensor in proto.graph.initializer if tensor.name == WEIGHT]
    array = numpy_helper.to_array(tensor).copy()
    array[3, 5] += CHANGE
    tensor.CopyFrom(numpy_helper.from_array(array, WEIGHT))
    onnx.save(proto, bundle / ONNX_MODEL)
    return ONNX_MODEL


def corrupt_saved_model(bundle):
    """In the bytes of the variables, where the array lies as it does in memory."""
    array = safetensors.numpy.load_file(bundle / WEIGHTS)[WEIGHT]
    (file,) = (bundle / SAVED_MODEL / "variables").glob("variables.data-*")
    content = file.read_bytes()
    changed = array.copy()
    changed[3, 5] += CHANGE
    assert content.count(array.tobytes()) == 1
    file.write_bytes(content.replace(array.tobytes(), changed.tobytes()))
    return file.relative_to(bundle).as_posix()


CORRUPTIONS = {
    "keras": (corrupt_safetensors, WEIGHTS),
    "onnx": (corrupt_onnx, ONNX_MODEL),
    "saved_model": (corrupt_saved_model, SAVED_MODEL),
}


@pytest.mark.parametrize("engine", CORRUPTIONS)
def test_one_altered_weight(bundle_copy, monkeypatch, prove_only, engine):
    monkeypatch.setattr(verification, "prove", prove_only())
    corrupt, artifact = CORRUPTIONS[engine]
    name = corrupt(bundle_copy)
    by_hash = verify(bundle_copy)
    assert not by_hash.holds
    assert [check.name for check in by_hash.checks if check.status == "failed"] == [name]

    manifest = Manifest.read(bundle_copy)
    Manifest.of_folder(bundle_copy, manifest.formats, manifest.provenance).write(bundle_copy)
    monkeypatch.setattr(verification, "prove", prove_only(engine))
    by_parity = verify(bundle_copy)
    assert not by_parity.holds
    assert [check.name for check in by_parity.checks if check.status == "failed"] == [artifact]


def test_an_untouched_bundle_holds_and_every_artifact_is_proved(bundle, monkeypatch, prove_only):
    proved = []
    canned = prove_only()

    def note(folder, engine):
        proved.append(engine)
        return canned(folder, engine)

    monkeypatch.setattr(verification, "prove", note)
    assert verify(bundle, strict=True).holds
    assert proved == ["keras", "saved_model", "onnx", "fast_fp32"]


def test_without_weights_there_is_nothing_for_keras_to_prove(bundle_copy, monkeypatch, prove_only):
    (bundle_copy / WEIGHTS).unlink()
    shutil.rmtree(bundle_copy / "saved_model")
    Manifest.of_folder(bundle_copy, ["onnx"], {}).write(bundle_copy)
    monkeypatch.setattr(verification, "prove", prove_only())
    names = [check.name for check in verify(bundle_copy).checks]
    assert names == [MANIFEST, ONNX_MODEL, FAST_FP32]


def test_an_artifact_that_the_manifest_hides_is_proved_all_the_same(bundle_copy, monkeypatch, prove_only):
    Manifest.of_folder(bundle_copy, ["onnx"], {}).write(bundle_copy)
    monkeypatch.setattr(verification, "prove", prove_only())
    assert SAVED_MODEL in [check.name for check in verify(bundle_copy).checks]


def test_a_file_that_was_added_is_named_and_fails_where_strict(bundle_copy, monkeypatch, prove_only):
    (bundle_copy / "onnx" / "extra.onnx").write_bytes(b"who put this here?")
    monkeypatch.setattr(verification, "prove", prove_only())
    result = verify(bundle_copy)
    assert Check("onnx/extra.onnx", "not checked", "the manifest does not name it") in result.checks
    assert result.holds
    assert not verify(bundle_copy, strict=True).holds


@pytest.mark.parametrize("missing", ["tensorflow", "keras"])
def test_without_tensorflow_only_onnx_is_checked(bundle, without, monkeypatch, prove_only, missing):
    """Keras without a backend proves nothing either."""
    monkeypatch.setattr(verification, "prove", prove_only())
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    without(missing)
    result = verify(bundle)
    status = {check.name: check.status for check in result.checks}
    assert status[ONNX_MODEL] == "ok"
    assert status[WEIGHTS] == "not checked"
    assert result.holds
    assert not verify(bundle, strict=True).holds


def test_without_tensorflow_the_weights_are_proved_on_the_callers_backend(
    bundle, without, monkeypatch, prove_only
):
    monkeypatch.setattr(verification, "prove", prove_only())
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    without("tensorflow")
    status = {check.name: check.status for check in verify(bundle).checks}
    assert status[WEIGHTS] == "ok"
    assert status[SAVED_MODEL] == "not checked"


def test_a_folder_without_a_manifest_is_refused(model_folder):
    with pytest.raises(KerasGPTError, match="not a bundle"):
        verify(model_folder)


def test_strictness_and_the_form_for_programs():
    checks = [Check("a", "ok", "fine"), Check("b", "not checked", "tensorflow is not installed")]
    assert Verification("bundle", checks).holds
    assert not Verification("bundle", checks, strict=True).holds
    assert not Verification("bundle", [*checks, Check("c", "failed", "no")]).holds
    assert Verification("bundle", checks).to_dict() == {
        "bundle": "bundle",
        "ok": True,
        "checks": [
            {"name": "a", "status": "ok", "detail": "fine"},
            {"name": "b", "status": "not checked", "detail": "tensorflow is not installed"},
        ],
    }


def test_links_to_folders_and_out_of_the_bundle_are_refused(bundle_copy, tmp_path):
    assets = bundle_copy / "saved_model" / "1" / "assets"
    (assets / "loop").symlink_to("..")
    with pytest.raises(
        KerasGPTError, match="assets/loop: is a link to a folder, which no bundle has; remove it"
    ):
        verify(bundle_copy)
    (assets / "loop").unlink()
    (tmp_path / "secret").mkdir()
    (assets / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(KerasGPTError, match="assets/out: leads to .*secret, outside the bundle; refused"):
        verify(bundle_copy)


def test_a_soft_prompt_that_the_model_cannot_read_fails(bundle_copy, monkeypatch, prove_only):
    monkeypatch.setattr(verification, "prove", prove_only())
    for width, status, words in ((16, "ok", "3 vectors before every text"), (8, "failed", "are 16 wide")):
        vectors = np.zeros((3, width), np.float32)
        save_soft_prompt(vectors, bundle_copy / SOFT_PROMPT, "model", {})
        (check,) = [check for check in verify(bundle_copy).checks if check.name == SOFT_PROMPT]
        assert check.status == status
        assert words in check.detail
