"""A proof runs in a fresh process, and sees one artifact's own files only."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from kerasgpt.artifacts import FORMATS, PARITY, WEIGHTS
from kerasgpt.errors import KerasGPTError
from kerasgpt.export import proof
from kerasgpt.export.parity import Parity
from kerasgpt.export.proof import Proof, child_environment, own_files, prove
from kerasgpt.export.reference import Reference

WORDS = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    PARITY,
}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("engine", ["keras", "onnx", "saved_model"])
def test_an_artifact_is_set_apart_with_nothing_of_the_others(bundle, engine):
    with own_files(bundle, engine) as apart:
        inside = names(apart) - WORDS
        assert names(apart) >= WORDS
        own = FORMATS.get(engine, WEIGHTS)
        assert inside == {name for name in names(bundle) if name == own or name.startswith(f"{own}/")}
        for name in inside:
            assert (apart / name).read_bytes() == (bundle / name).read_bytes()
    assert not apart.exists()


def test_on_another_disk_files_are_copied(bundle, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with own_files(bundle, "onnx") as apart:
        assert (apart / "onnx/model.onnx").read_bytes() == (bundle / "onnx/model.onnx").read_bytes()


@pytest.fixture
def poisoned(tmp_path, monkeypatch):
    """Let a fresh process that imports TensorFlow, Keras or onnx die of it."""
    for name in ("tensorflow", "keras", "onnx", "jax"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('heavy import')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_the_onnx_file_is_proved_without_tensorflow_keras_or_onnx(bundle, poisoned):
    result = prove(bundle, "onnx")
    assert result.engine == "onnx"
    assert result.parity.holds, result.sentence
    assert result.parity.max_logit_error <= 1e-4
    assert result.parity.max_cached_logit_error <= 1e-4
    reference = Reference.load(bundle / PARITY)
    both_ways = 2 * sum(map(len, reference.continuations))
    assert result.parity.num_tokens_compared == both_ways
    assert f"{both_ways} greedy tokens equal" in result.sentence


def test_the_child_is_a_fresh_process_and_its_failure_a_sentence(bundle, poisoned):
    """Keras is loaded here, and the child would need to import it anew."""
    with pytest.raises(KerasGPTError, match=r"^model.safetensors: does not load and run \(.*heavy import\)$"):
        prove(bundle, "keras")


def test_files_where_it_is_started_have_no_say(bundle, tmp_path, monkeypatch):
    """As in a bundle of somebody else's, with `kerasgpt verify .`; the child imports json."""
    (tmp_path / "json.py").write_text("print('{}'); raise SystemExit")
    (tmp_path / "token.py").write_text("raise RuntimeError('my own tokens')")
    monkeypatch.chdir(tmp_path)
    assert prove(bundle, "onnx").parity.num_tokens_compared > 0


def test_a_file_that_does_not_load_is_named(bundle_copy):
    (bundle_copy / "onnx/model.onnx").write_bytes(b"no graph")
    with pytest.raises(KerasGPTError, match=r"^onnx/model.onnx: does not load and run \("):
        prove(bundle_copy, "onnx")


def test_without_the_recorded_answers_nothing_is_proved(bundle_copy):
    (bundle_copy / PARITY).unlink()
    with pytest.raises(KerasGPTError, match="cannot read the recorded answers"):
        prove(bundle_copy, "onnx")


def test_with_all_logits_every_one_of_them_counts(bundle, trained, tmp_path):
    """The sixteen best of each position may be equal while another is not."""
    reference = Reference.load(bundle / PARITY)
    model, _ = trained
    logits = np.array(model(reference.ids))
    worst = logits[0, 0].argmin()
    logits[0, 0, worst] += 0.01
    np.save(tmp_path / "logits.npy", logits)
    result = prove(bundle, "onnx", tmp_path / "logits.npy")
    assert not result.parity.holds
    assert "a logit differs by 0.01" in result.sentence
    assert prove(bundle, "onnx").parity.holds


def test_the_child_prints_its_parity_as_json(bundle, capsys):
    assert proof.main(["onnx", str(bundle)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert Parity(**answer["parity"]).holds
    assert answer["speed"] is None


def test_the_child_gives_an_error_as_one_sentence(tmp_path, capsys):
    assert proof.main(["onnx", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_child_imports_this_package_and_tensorflow_as_its_backend(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    environment = child_environment()
    package_parent = str(Path(proof.__file__).parents[2])
    assert environment["PYTHONPATH"] == os.pathsep.join([package_parent, "/mine"])
    assert environment["KERAS_BACKEND"] == "tensorflow"


def test_where_tensorflow_is_missing_the_child_runs_on_the_callers_backend(monkeypatch, without):
    without("tensorflow")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert child_environment()["KERAS_BACKEND"] == "jax"


def test_sentences():
    good = Proof("onnx", 1.0, Parity(2.5e-6, 1e-6, 40, 2, []))
    assert good.sentence == "logits within 2.5e-06, 40 greedy tokens equal (2 near ties exempt)"
    bad = Proof("onnx", 1.0, Parity(1.0, 1.0, 0, 0, ["one", "two", "three", "four"]))
    assert bad.sentence == "one; two; three"


def test_an_error_without_a_message_is_told_by_its_name(tmp_path, capsys, monkeypatch):
    def fails(*arguments):
        raise MemoryError

    monkeypatch.setattr(proof, "compare", fails)
    assert proof.main(["onnx", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "MemoryError: MemoryError\n"
