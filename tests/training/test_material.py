"""Runs on a task: what they leave, that they resume exactly, that the bundle answers raw input."""

import json
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasgpt import artifacts
from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks.asking import ask
from kerasgpt.tasks.reading import read_records
from kerasgpt.tasks.templates import read_template
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.callbacks import LogLosses
from kerasgpt.training.config import Recipe
from kerasgpt.training.interruption import InterruptedRunError
from kerasgpt.training.journal import read_journal
from kerasgpt.training.material import open_material, sample_prompt, training_batches, validation_batches
from kerasgpt.training.train import train

SETTINGS = [
    "task.name=completion",
    "task.max_new_tokens=4",
    "data.validation_fraction=0.2",
    "data.test_fraction=0.2",
    "data.vocabulary_size=270",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.hidden_dim=16",
    "train.steps=8",
    "train.batch_size=2",
    "train.sequence_length=32",
    "train.warmup_steps=2",
    "train.learning_rate=0.01",
    "train.log_every=2",
    "train.evaluate_every=4",
    "train.checkpoint_every=3",
    "train.sample_tokens=3",
    "train.jit_compile=false",
]
MEASURED = {"tokens_per_second", "mfu", "memory_bytes", "input_share"}


@pytest.fixture
def recipe(tmp_path):
    """120 sums with their results."""
    path = tmp_path / "sums.jsonl"
    sums = [(one, other) for one in range(10) for other in range(12)]
    path.write_text(
        "".join(json.dumps({"prompt": f"{a} + {b} =", "answer": f" {a + b}"}) + "\n" for a, b in sums)
    )
    return lambda *settings: Recipe.from_dict({"data": {"paths": str(path)}}, [*SETTINGS, *settings])


def _journal(run):
    return [
        {name: value for name, value in record.items() if name not in MEASURED}
        for record in read_journal(run.folder / artifacts.RUN_METRICS)
    ]


def test_a_run_leaves_a_model_that_answers_raw_input_and_the_records_it_never_saw(recipe, tmp_path):
    run = train(recipe("task.prompt='Sum: {prompt}'"), tmp_path / "run", quiet=True)
    template = read_template(run.model_folder)
    assert (template.task, template.prompt, template.max_new_tokens) == ("completion", "Sum: {prompt}", 4)
    assert artifacts.read_generation_config(run.model_folder).max_new_tokens == 4
    lm = load(run.folder)
    (expected,) = lm.generate(["Sum: 1 + 1 ="])
    assert ask(lm, template, ["1 + 1 ="]) == [expected.text.strip()]
    held_out = list(read_records("completion", [run.folder / artifacts.RUN_TEST]))
    assert 10 < len(held_out) < 40
    assert run.summary["validation_loss"] > 0
    assert "sample" in _journal(run)[2]


@pytest.mark.parametrize("pack", ["true", "false"])
def test_a_resumed_run_equals_one_never_stopped(recipe, tmp_path, monkeypatch, pack):
    settings = ["model.dropout=0.2", f"task.pack={pack}", "task.prompt_weight=0.1"]
    whole = train(recipe(*settings), tmp_path / "whole", quiet=True)
    original = LogLosses.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        if self.first_step + batch + 1 == 5:
            signal.raise_signal(signal.SIGINT)
        original(self, batch, logs)

    with monkeypatch.context() as patched:
        patched.setattr(LogLosses, "on_train_batch_end", on_train_batch_end)
        with pytest.raises(InterruptedRunError, match="stopped at step 5 of 8"):
            train(recipe(*settings), tmp_path / "parts", quiet=True)
    parts = train(recipe(*settings), tmp_path / "parts", resume=True, quiet=True)
    assert _journal(parts) == _journal(whole)
    weights = [load_file(run.model_folder / artifacts.WEIGHTS) for run in (parts, whole)]
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name], err_msg=name)


def test_the_vocabulary_is_learned_from_the_part_to_train_on_and_samples_go_on_from_a_held_out_prompt(
    recipe, tmp_path
):
    settings = recipe().resolved()
    tokenizer, corpus = open_material(settings, tmp_path, lambda line: None)
    again, _ = open_material(settings, tmp_path, lambda line: None)
    assert tokenizer.vocabulary == again.vocabulary
    assert sample_prompt(corpus, settings, tokenizer).endswith(" =")
    labels = [labels[weights == 1] for _, labels, weights in validation_batches(corpus, settings, tokenizer)]
    assert sum(map(len, labels)) == corpus.num_labels("validation")
    one = training_batches(corpus, settings, tokenizer, 0, 9)[4][1]
    np.testing.assert_array_equal(one, training_batches(corpus, settings, tokenizer, 4, 1)[0][1])


def test_shortened_and_left_out_records_are_told(tmp_path):
    path = tmp_path / "texts.jsonl"
    texts = [{"text": f"word {number} " * 40, "summary": "s"} for number in range(40)]
    texts.append({"text": "short", "summary": "much too long for a window " * 9})
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    settings = [setting for setting in SETTINGS if "task.name" not in setting and "fraction" not in setting]
    given = [*settings, "task.name=summarization", "data.validation_fraction=0", "data.tokenizer='gpt2'"]
    recipe = Recipe.from_dict({"data": {"paths": str(path)}}, given).resolved()
    said = []
    open_material(recipe, tmp_path, said.append)
    assert said == [
        "train: 1 records do not fit into the window, even with nothing of their text: left out",
        "train: 40 of 40 examples have a text that is too long for the window: shortened",
    ]


def test_a_bad_line_leaves_nothing_behind(recipe, tmp_path):
    (tmp_path / "sums.jsonl").write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "a", "answer": ""}\n')
    with pytest.raises(KerasGPTError, match=r"sums.jsonl, line 2: has an empty answer"):
        train(recipe(), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_it_goes_on_from_a_model_with_that_models_tokenizer(recipe, tmp_path, model_folder):
    fields = ("model.", "data.vocabulary_size")
    kept = [setting for setting in SETTINGS if not setting.startswith(fields)]
    given = {"data": {"paths": str(tmp_path / "sums.jsonl")}, "model": {"init": str(model_folder)}}
    recipe()  # writes nothing: the file is there
    run = train(Recipe.from_dict(given, kept), tmp_path / "tuned", quiet=True)
    assert (
        Tokenizer.from_preset(run.model_folder).vocabulary == Tokenizer.from_preset(model_folder).vocabulary
    )
    assert read_template(run.model_folder).task == "completion"


TEXT_SETTINGS = [setting for setting in SETTINGS if not setting.startswith(("task.", "data.test"))]


@pytest.fixture
def text(tmp_path, monkeypatch):
    """One document of running text."""
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_text("".join(f"Line {number}: to be, or not to be.\n" for number in range(99)))
    return lambda *settings: Recipe.from_dict({"data": {"paths": str(path)}}, [*TEXT_SETTINGS, *settings])


def test_that_there_is_no_validation_part_is_told(text, tmp_path):
    for settings, told in (
        (["data.split=document", "data.validation_fraction=0.01"], True),
        (["data.validation_fraction=0.0001"], True),
        (["data.validation_fraction=0"], False),
        ([], False),
    ):
        said = []
        open_material(text(*settings).resolved(), tmp_path / "run", said.append)
        assert [line.startswith("no validation part: data.validation_fraction 0.0") for line in said] == (
            [True] * told
        ), settings


def test_documents_that_all_fall_to_the_other_parts_are_told_of(text, tmp_path):
    settings = ["data.split=document", "data.validation_fraction=0.5", "data.test_fraction=0.49"]
    sentence = r"text\.txt: nothing is left to train on, as all documents fall to .* by data\.split=tail"
    with pytest.raises(KerasGPTError, match=sentence):
        open_material(text(*settings).resolved(), tmp_path / "run", print)


def test_a_resumed_run_keeps_its_vocabulary_or_is_refused(text, tmp_path):
    out = tmp_path / "run"
    train(text(), out, quiet=True)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = text("train.steps=9", "data.vocabulary_size=300")
    with pytest.raises(UsageError, match=r"cannot change \(data.vocabulary_size: 270 -> 300\).*--out"):
        train(other, out, resume=True, force=True, quiet=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert train(text("train.steps=9"), out, resume=True, force=True, quiet=True).summary["steps"] == 9


def test_a_run_with_a_tokenizer_of_another_goes_on_with_none_that_it_would_learn(text, tmp_path):
    train(text("data.tokenizer=gpt2"), tmp_path / "run", quiet=True)
    with pytest.raises(UsageError, match=r"cannot change \(data.tokenizer: gpt2 -> learn\)"):
        train(text("data.tokenizer=learn"), tmp_path / "run", resume=True, force=True, quiet=True)


def test_a_resumed_run_takes_a_folder_with_its_own_vocabulary_and_no_other(text, tmp_path):
    run = train(text(), tmp_path / "run", quiet=True)
    own = Tokenizer.from_preset(run.model_folder)
    own.save_to_preset(tmp_path / "own")
    Tokenizer.learn(["another text"] * 2, own.vocabulary_size).save_to_preset(tmp_path / "other")
    wanted = ("train.steps=9", f"data.tokenizer={tmp_path / 'other'}")
    with pytest.raises(
        UsageError, match=r"its vocabulary cannot change, and data.tokenizer .*other has another"
    ):
        train(text(*wanted), tmp_path / "run", resume=True, force=True, quiet=True)
    wanted = ("train.steps=9", f"data.tokenizer={tmp_path / 'own'}")
    assert train(text(*wanted), tmp_path / "run", resume=True, force=True, quiet=True).summary["steps"] == 9


def test_a_run_that_loses_its_validation_part_ends_with_its_last_model(text, tmp_path):
    run = train(text("train.steps=4"), tmp_path / "run", quiet=True)
    assert "validation_loss" in run.summary
    wanted = text("train.steps=6", "data.validation_fraction=0")
    run = train(wanted, tmp_path / "run", resume=True, force=True, quiet=True)
    assert (run.summary["steps"], run.summary["best_step"]) == (6, 6)
    assert "validation_loss" not in run.summary


def test_each_source_that_is_mixed_in_has_a_window(text, tmp_path):
    (tmp_path / "small.txt").write_text("To be.")
    given = {"paths": [str(tmp_path / "text.txt"), str(tmp_path / "small.txt")], "weights": [1.0, 1.0]}
    text()
    recipe = Recipe.from_dict({"data": given}, TEXT_SETTINGS).resolved()
    with pytest.raises(KerasGPTError, match=r"small\.txt: the part to train on has \d+ tokens, .* takes 33"):
        open_material(recipe, tmp_path / "run", lambda line: None)
