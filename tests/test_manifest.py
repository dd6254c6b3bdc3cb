"""Manifests notice every change, read back as they were written, and stay inside their bundle."""

import json

import pytest

from kerasgpt.artifacts import MANIFEST
from kerasgpt.errors import KerasGPTError
from kerasgpt.manifest import Manifest


def test_an_intact_bundle_has_no_damage(tiny_bundle):
    manifest = Manifest.read(tiny_bundle)
    assert set(manifest.files) == {"config.json", "onnx/model.onnx"}
    assert manifest.damaged_files(tiny_bundle) == {}


def test_altered_and_missing_files_are_named(tiny_bundle):
    (tiny_bundle / "onnx" / "model.onnx").write_bytes(b"grapH")
    (tiny_bundle / "config.json").unlink()
    assert Manifest.read(tiny_bundle).damaged_files(tiny_bundle) == {
        "onnx/model.onnx": "altered",
        "config.json": "missing",
    }


def test_a_manifest_cannot_point_outside_its_bundle(tiny_bundle):
    content = json.loads((tiny_bundle / MANIFEST).read_text())
    content["files"]["../outside"] = "0" * 64
    (tiny_bundle / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(KerasGPTError, match="outside the bundle; refused"):
        Manifest.read(tiny_bundle)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"files": {"a\0b": "0" * 64}}, "null"),
        ({"files": {"\ud83d": "0" * 64}}, "surrogates"),
        ({"files": {"a": 1}}, "its 'files' holds 1, which is no string"),
        ({"files": ["a"]}, "its 'files' is a JSON list"),
        ({"formats": [["onnx"]]}, r"""its 'formats' holds \["onnx"\], which is no string"""),
        ({"formats": "onnx"}, "its 'formats' is a JSON str"),
        ({"provenance": [["a", "b"]]}, "its 'provenance' is a JSON list"),
        ({"precisions": [None]}, "its 'precisions' holds null"),
        ({"version": 1}, "its 'version' is a JSON int"),
        ({"model_type": {}}, "its 'model_type' is a JSON dict"),
    ],
)
def test_a_field_of_another_kind_is_named(tiny_bundle, change, sentence):
    content = json.loads((tiny_bundle / MANIFEST).read_text())
    (tiny_bundle / MANIFEST).write_text(json.dumps(content | change))
    with pytest.raises(KerasGPTError, match=rf"{MANIFEST}: damaged manifest \(.*{sentence}"):
        Manifest.read(tiny_bundle)


def test_a_name_that_no_file_can_have_is_damage(tiny_bundle):
    content = json.loads((tiny_bundle / MANIFEST).read_text())
    content["files"]["a" * 300] = "0" * 64
    (tiny_bundle / MANIFEST).write_text(json.dumps(content))
    damage = Manifest.read(tiny_bundle).damaged_files(tiny_bundle)
    assert list(damage) == ["a" * 300]
    assert damage["a" * 300] in ("unreadable", "missing")  # by the version of Python


def test_a_damaged_manifest_is_refused(tiny_bundle):
    (tiny_bundle / MANIFEST).write_text('{"files": 3}')
    with pytest.raises(KerasGPTError, match="damaged manifest"):
        Manifest.read(tiny_bundle)


def test_what_is_written_reads_back(tiny_bundle):
    written = Manifest({"a": "0" * 64}, ["onnx"], {"run": "mine"}, ["fp32", "int4"], model_type="lstm")
    written.write(tiny_bundle)
    assert Manifest.read(tiny_bundle) == written


def test_a_bundle_of_before_precisions_and_types_is_read(tiny_bundle):
    content = json.loads((tiny_bundle / MANIFEST).read_text())
    del content["precisions"], content["model_type"]
    (tiny_bundle / MANIFEST).write_text(json.dumps(content))
    manifest = Manifest.read(tiny_bundle)
    assert (manifest.precisions, manifest.model_type) == (["fp32"], "gpt2")
