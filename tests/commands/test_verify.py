"""`kerasgpt verify`: exit 0 only for a bundle that is intact and in parity."""

import pytest

from kerasgpt.artifacts import sha256_of
from kerasgpt.export import verification
from kerasgpt.export.parity import Parity
from kerasgpt.export.proof import Proof
from kerasgpt.manifest import Manifest


@pytest.fixture
def proven(monkeypatch):
    """Let every proof hold without its child process, which the tests of the export room start."""
    parity = Parity(1e-6, 2e-6, 10, 0, [])
    monkeypatch.setattr(verification, "prove", lambda folder, engine: Proof(engine, 0.1, parity))


def test_a_whole_bundle(run, bundle, proven):
    outcome = run("verify", bundle, "--strict", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    (content,) = outcome.rows
    assert (content["bundle"], content["ok"]) == (str(bundle), True)
    names = {check["name"]: check["status"] for check in content["checks"]}
    assert names == dict.fromkeys(
        [
            "kerasgpt.json",
            "model.safetensors",
            "onnx/model.onnx",
            "saved_model/1",
            "onnx/fast_fp32.onnx",
        ],
        "ok",
    )
    assert all("greedy tokens equal" in check["detail"] for check in content["checks"][1:])


def test_for_people(run, bundle, proven):
    outcome = run("verify", bundle)
    assert outcome.code == 0
    num_files = len(Manifest.read(bundle).files)
    assert (
        outcome.out.splitlines()[0] == f"ok           kerasgpt.json: {num_files} of {num_files} files intact"
    )


@pytest.mark.parametrize("name", ["config.json", "parity.npz", "merges.txt", "saved_model/1/saved_model.pb"])
@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_any_damaged_file_is_named(run, bundle_copy, proven, name, damage):
    file = bundle_copy / name
    if damage == "altered":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.unlink()
    outcome = run("verify", bundle_copy)
    assert outcome.code == 1
    assert f"failed       {name}: the file is {damage}; export the model again" in outcome.out
    assert outcome.err == f"kerasgpt: {bundle_copy}: not verified: {name}\n"
    content = run("verify", bundle_copy, "--json").rows[0]
    assert not content["ok"]


def test_a_damaged_recording_is_no_excuse(run, bundle_copy):
    """The recorded answers are needed for the proof: without them nothing is proved."""
    (bundle_copy / "parity.npz").write_bytes(b"")
    Manifest.of_folder(bundle_copy, ["onnx"], {}).write(bundle_copy)
    outcome = run("verify", bundle_copy)
    assert outcome.code == 1
    assert "onnx/model.onnx" in outcome.err


def test_what_cannot_be_checked_is_said_and_fails_only_if_strict(run, bundle, without, proven):
    without("tensorflow")
    outcome = run("verify", bundle)
    assert outcome.code == 0
    assert "not checked  saved_model/1: tensorflow is not installed" in outcome.out
    assert "ok           onnx/model.onnx" in outcome.out
    strict = run("verify", bundle, "--strict")
    assert strict.code == 1
    assert "saved_model/1" in strict.err


@pytest.mark.parametrize(
    "content", ["", "{}", '{"files": 3}', '{"files": {}, "formats": [], "provenance": {}}']
)
def test_a_damaged_manifest_is_one_sentence(refuses, bundle_copy, content):
    (bundle_copy / "kerasgpt.json").write_text(content)
    assert "kerasgpt.json" in refuses("verify", bundle_copy, code=1)


def test_a_manifest_may_not_reach_outside(refuses, bundle_copy, tmp_path):
    (tmp_path / "secret").write_text("x")
    Manifest({"../secret": sha256_of(tmp_path / "secret")}, ["onnx"]).write(bundle_copy)
    assert "outside the bundle" in refuses("verify", bundle_copy, code=1)


def test_an_unknown_format_in_a_manifest_fails(run, bundle_copy, proven):
    manifest = Manifest.read(bundle_copy)
    Manifest(manifest.files, ["onnx", "gguf"]).write(bundle_copy)
    outcome = run("verify", bundle_copy)
    assert outcome.code == 1
    assert "the manifest names 'gguf', a format this version does not know" in outcome.out


def test_what_is_no_bundle(refuses, model_folder, tmp_path):
    for folder in (model_folder, tmp_path / "no"):
        assert "not a bundle; make one with 'kerasgpt export'" in refuses("verify", folder, code=1)
