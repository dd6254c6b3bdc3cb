"""What a checkpoint says it was computed with."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasgpt.errors import UsageError
from kerasgpt.training.devices import Device
from kerasgpt.training.environment import (
    DATA,
    DEVICES,
    VALIDATION,
    changed_facts,
    changes,
    environment,
)
from kerasgpt.training.material import open_material
from kerasgpt.training.train import train


class _Corpus:
    def __init__(self, ids):
        self._ids = np.asarray(ids, "uint16")

    def ids(self, part):
        return self._ids if part == "train" else self._ids[:1]

    def digest(self, part):
        return hashlib.sha256(self.ids(part)).hexdigest()


def test_backend_device_versions_and_data_are_described():
    described = environment(Device("cpu", "Some CPU"), _Corpus(range(100)))
    assert list(described) == ["backend", "device", "keras", "tensorflow", "data", "validation data"]
    assert (described["backend"], described["device"]) == ("tensorflow", "cpu: Some CPU")
    assert described["data"].startswith("100 tokens, ")


def test_data_differs_when_an_id_does():
    device = Device("cpu", "Some CPU")
    one, other = environment(device, _Corpus([1, 2, 3])), environment(device, _Corpus([1, 2, 4]))
    assert [change.partition(":")[0] for change in changes(one, other)] == ["data"]
    assert changes(one, one) == []
    other = environment(device, _Corpus([0, 2, 3]))
    assert [change.partition(":")[0] for change in changes(one, other)] == ["data", "validation data"]


def test_data_differs_when_an_id_does_that_older_versions_did_not_look_at():
    device, ids = Device("cpu", "Some CPU"), np.zeros(1 << 17, "uint16")
    one, other = environment(device, _Corpus(ids)), ids.copy()
    other[100] = 1
    (change,) = changes(one, environment(device, _Corpus(other)))
    assert change.startswith("data: 131072 tokens, ")
    places, _, _ = one["data"].rpartition(", ")
    assert environment(device, _Corpus(other))["data"].startswith(f"{places}, ")


def test_a_checkpoint_of_an_older_version_is_compared_in_what_it_knows():
    device = Device("cpu", "Some CPU")
    now = environment(device, _Corpus([1, 2, 3]))
    before = {**now, **{fact: now[fact].rpartition(", ")[0] for fact in (DATA, VALIDATION)}}
    assert changed_facts(before, now, Path("run"), print, force=False) == set()
    del before[VALIDATION]
    assert changed_facts(before, now, Path("run"), print, force=False) == set()
    now = environment(device, _Corpus([1, 2, 4]))
    sentence = r"the data is another .* \(data: 3 tokens, \w+ -> 3 tokens, \w+, .*; an older version began it"
    with pytest.raises(UsageError, match=sentence):
        changed_facts(before, now, Path("run"), print, force=False)


@pytest.mark.parametrize("fact", [DATA, VALIDATION, DEVICES])
def test_other_data_or_devices_are_refused_unless_forced(fact):
    before, now = {DATA: "a", VALIDATION: "b", DEVICES: "c"}, {DATA: "a", VALIDATION: "b", DEVICES: "c"}
    now[fact] = "other"
    said = []
    with pytest.raises(UsageError, match=r"run: the .*other.* than this run was begun with .*: \w -> other"):
        changed_facts(before, now, Path("run"), said.append, force=False)
    assert changed_facts(before, now, Path("run"), said.append, force=True) == {fact}
    (line,) = said
    assert line.endswith(f"{fact}: {before[fact]} -> other")


def test_a_checkpoint_of_an_older_version_knows_no_validation_data():
    now = {DATA: "a", VALIDATION: "b"}
    assert changed_facts({DATA: "a"}, now, Path("run"), print, force=False) == set()
    assert changed_facts({DATA: "b"}, now, Path("run"), print, force=True) == {DATA, VALIDATION}
    assert changed_facts({}, now, Path("run"), print, force=False) == set()


def test_each_change_is_named_with_both_values():
    before = {"backend": "tensorflow", "device": "cpu: A", "tensorflow": "2.21.0"}
    now = {"backend": "jax", "device": "gpu: B", "jax": "0.10"}
    assert changes(before, now) == [
        "backend: tensorflow -> jax",
        "device: cpu: A -> gpu: B",
        "tensorflow: 2.21.0 -> none",
        "jax: none -> 0.10",
    ]


def test_the_best_model_on_other_validation_data_is_another(recipe, corpus, tmp_path):
    """The first text is easier than the second: its losses are nothing to compare with."""
    (tmp_path / "easy.txt").write_text("to be or not to be\n" * 200)
    settings = ("train.learning_rate=0.001", "train.early_stopping_patience=3", "train.evaluate_every=2")
    easy = recipe(f"data.paths=['{tmp_path / 'easy.txt'}']", *settings)
    before = train(easy, tmp_path / "run", quiet=True)
    best = load_file(before.folder / "model" / "model.safetensors")
    longer = ("train.steps=12", *settings)
    after = train(recipe(*longer), before.folder, resume=True, force=True, quiet=True)
    assert after.summary["validation_loss"] > before.summary["validation_loss"] + 0.1
    assert after.summary["best_step"] > before.summary["steps"]
    now = load_file(after.folder / "model" / "model.safetensors")
    assert any((now[name] != best[name]).any() for name in best)


def test_a_text_is_the_same_wherever_it_lies_and_another_with_one_word_changed(
    recipe, corpus, tmp_path, monkeypatch
):
    def described(path):
        material = open_material(recipe(f"data.paths=['{path}']").resolved(), tmp_path / "run", print)[1]
        return environment(Device("cpu", "Some CPU"), material)

    text = "to be or not to be\n" * 20_000
    corpus.write_text(text)
    before = described(corpus)
    moved = corpus.rename(tmp_path / "moved.md")
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "elsewhere"))
    assert described(moved) == before
    middle = len(text) // 2
    moved.write_text(text[:middle] + text[middle:].replace("not to", "to not", 1))
    now = described(moved)
    assert [change.partition(":")[0] for change in changes(before, now)] == ["data"]
    assert [one["data"].split(", ")[:2] for one in (before, now)] == [before["data"].split(", ")[:2]] * 2
