"""What goes wrong with training data, settings and disks is one sentence, and leaves nothing half-written.

The same for the other commands: tests/commands.
"""

import json
import os

import pytest

SETTINGS = {
    "data.vocabulary_size": 270,
    "model.num_layers": 1,
    "model.num_heads": 2,
    "model.hidden_dim": 16,
    "train.steps": 4,
    "train.batch_size": 2,
    "train.sequence_length": 16,
    "train.evaluate_every": 2,
    "train.checkpoint_every": 2,
    "train.sample_tokens": 0,
    "train.jit_compile": "false",
}
TEXT = "To be, or not to be, that is the question.\n" * 80


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder; what is kept of the data between runs lies elsewhere."""
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def train(place, data, *more):
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    return ["train", "--data", data, "--out", place / "run", *settings, *more]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.txt", None, "cannot read (No such file or directory)"),
        (".", None, "is a folder; name its files, such as "),
        ("empty.txt", b"", "holds no text"),
        ("latin.txt", TEXT.encode() + b"caf\xe9.\n", f"not UTF-8 at byte {len(TEXT) + 3}"),
        ("cut.txt", TEXT.encode() + "é".encode()[:1], f"not UTF-8 at byte {len(TEXT)}"),
        ("short.txt", b"To be.", "short.txt"),
        ("bad.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', 'line 2: has no "text" string'),
        ("bad.jsonl", b'{"text": "a"}\nb\n', "line 2: not valid JSON"),
        ("few.txt", b"To be, or not to be, that is", "tokens, and one batch takes 33, 2 windows of 16"),
        ("cut.parquet", b"PAR1\x15\x04", "cannot read this parquet file"),
        ("cut.bin", b"\x88\xd8\x34\x01\x01\x00\x00\x00\x02\x00\x00\x00", "its header says 2 ids, 1028 bytes"),
        ("ids.bin", b"\x01\x02", "holds ids and no text to learn a vocabulary from"),
    ],
)
def test_bad_data_is_named(refuses, place, name, content, sentence):
    data = place / name
    if content is not None:
        data.write_bytes(content)
    before = sorted(os.listdir(place))
    stderr = refuses(*train(place, data), code=1)
    assert str(data) in stderr
    assert sentence in stderr
    assert sorted(os.listdir(place)) == before


def test_of_several_files_the_bad_one_is_named(refuses, place):
    (place / "good.txt").write_text(TEXT)
    (place / "bad.txt").write_bytes(b"\xff")
    stderr = refuses(*train(place, place / "good.txt", "--data", place / "bad.txt"), code=1)
    assert f"{place / 'bad.txt'}: not UTF-8 at byte 0" in stderr
    assert not (place / "run").exists()


def test_errors_replace_goes_on(run, place):
    (place / "latin.txt").write_bytes(TEXT.encode() + b"caf\xe9.\n")
    outcome = run(*train(place, place / "latin.txt", "--errors", "replace"))
    assert outcome.code == 0, outcome.err
    assert json.loads((place / "run" / "summary.json").read_text())["steps"] == 4


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--preset", "gpt2-larg"], "unknown preset 'gpt2-larg': did you mean 'gpt2-large'?"),
        (["--set", "train.precision=mixed_bfloat32"], "did you mean 'mixed_bfloat16'?"),
        (["--set", "train.learning_rat=1"], "did you mean 'train.learning_rate'?"),
        (["--set", "model.num_layer=1"], "num_layers"),
        (["--set", "modle.num_layers=1"], "model"),
        (["--set", "data.split=tial"], "did you mean 'tail'?"),
        (["--set", "train.steps"], "train.steps"),
        (["--set", "train.steps=many"], "train.steps"),
        (["--set", "train.steps=0"], "train.steps is 0: it must be at least 1"),
        (["--set", "train.learning_rate=nan"], "train.learning_rate"),
        (["--set", "model.hidden_dim=15"], "hidden_dim 15 is not a multiple of num_heads 2"),
        (["--set", 'model.activation="gleu"'], "unknown activation 'gleu': did you mean 'gelu"),
        (["--errors", "ignore"], "--errors"),
    ],
)
def test_wrong_settings_are_named(refuses, place, more, sentence):
    (place / "text.txt").write_text(TEXT)
    assert sentence in refuses(*train(place, place / "text.txt", *more), code=2)
    assert os.listdir(place) == ["text.txt"]


def test_a_folder_with_other_things_in_it_is_left_alone(refuses, place):
    (place / "text.txt").write_text(TEXT)
    (place / "run").mkdir()
    (place / "run" / "thesis.txt").write_text("years of work")
    assert str(place / "run") in refuses(*train(place, place / "text.txt"), code=2)
    assert os.listdir(place / "run") == ["thesis.txt"]


@pytest.mark.parametrize("room_bytes", [0, 700, 3000])
def test_a_disk_that_is_full_before_training_begins_leaves_nothing(run, place, full_disk, room_bytes):
    """It fills up at the ids of the data, or at the first files of the run."""
    (place / "text.txt").write_text(TEXT)
    with full_disk(room_bytes):
        outcome = run(*train(place, place / "text.txt"))
    assert outcome.code == 1
    last = outcome.err.splitlines()[-1]
    assert "cannot write (" in last
    assert "free some space" in last
    assert "Traceback" not in outcome.err
    assert os.listdir(place) == ["text.txt"]


def test_a_disk_that_fills_up_while_training_loses_no_run(run, place, full_disk):
    """The model and the checkpoint no longer fit; with room again the run goes on."""
    (place / "text.txt").write_text(TEXT)
    with full_disk(16_000):
        outcome = run(*train(place, place / "text.txt"))
    assert outcome.code == 1
    last = outcome.err.splitlines()[-1]
    assert last.startswith("kerasgpt: ")
    assert "cannot write (" in last
    assert "free some space" in last
    assert not [path for path in place.parent.rglob("*") if ".tmp-" in path.name]
    assert run(*train(place, place / "text.txt", "--resume")).code == 0
    assert json.loads((place / "run" / "summary.json").read_text())["steps"] == 4
