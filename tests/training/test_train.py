"""Whole runs, small: what they leave, how they go on, what they refuse."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasgpt import artifacts
from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks import language_modeling
from kerasgpt.training.callbacks import EvaluateAndKeepBest, LogLosses
from kerasgpt.training.interruption import InterruptedRunError
from kerasgpt.training.journal import read_journal
from kerasgpt.training.resume import RunState
from kerasgpt.training.train import Run, train

MEASURED = {"tokens_per_second", "mfu", "memory_bytes", "input_share"}


def _weights(run):
    return load_file(run / artifacts.RUN_MODEL / artifacts.WEIGHTS)


def _without_speed(run):
    records = read_journal(run / artifacts.RUN_METRICS)
    return [{k: v for k, v in record.items() if k not in MEASURED} for record in records]


@pytest.fixture
def interrupt_at(monkeypatch):
    """Press Ctrl-C, as it were, while a step is being logged, or kill the run there; once."""

    def arrange(wanted, kill=False):
        original, waiting = LogLosses.on_train_batch_end, [wanted]

        def on_train_batch_end(self, batch, logs=None):
            if [self.first_step + batch + 1] == waiting:
                waiting.clear()
                if kill:
                    raise SystemExit
                signal.raise_signal(signal.SIGINT)
            original(self, batch, logs)

        monkeypatch.setattr(LogLosses, "on_train_batch_end", on_train_batch_end)

    return arrange


def test_a_folder_that_is_no_utf8_is_refused_before_anything(recipe, tmp_path):
    with pytest.raises(UsageError, match="its name is not UTF-8"):
        train(recipe(), tmp_path / os.fsdecode(b"run\xff"), quiet=True)
    assert not any("run" in name for name in os.listdir(tmp_path))


def test_a_run_leaves_its_folder_and_the_best_model(recipe, tmp_path, corpus):
    run = train(recipe("data.test_fraction=0.1"), tmp_path / "run", quiet=True)
    names = {path.name for path in run.folder.iterdir()}
    pages = {"loss.png", "report.html"}
    assert names == {"metrics.jsonl", "summary.json", "config.toml", "model", "checkpoints", *pages}
    assert run.summary == json.loads((run.folder / "summary.json").read_text())
    assert run.summary["tokens_seen"] == 8 * 2 * 16
    total = sum(run.summary[f"{part}_bytes"] for part in ("train", "validation", "test"))
    assert total == len(corpus.read_bytes())
    lm = load(run.folder)
    tail = corpus.read_bytes()[-run.summary["test_bytes"] :].decode()
    again = language_modeling.evaluate(lm, tail)["bits_per_byte"]
    assert run.summary["test_bits_per_byte"] == pytest.approx(again)
    assert run.summary["validation_loss"] == min(
        record["validation_loss"] for record in _without_speed(run.folder) if "validation_loss" in record
    )
    assert lm.generate(["to be"])[0].text


@pytest.mark.parametrize("stop", [3, 5])
def test_a_resumed_run_equals_one_never_stopped(recipe, tmp_path, interrupt_at, stop):
    settings = ["model.dropout=0.2", "train.log_every=4", "train.evaluate_every=2"]
    whole = train(recipe(*settings), tmp_path / "whole", quiet=True)
    interrupt_at(stop)
    with pytest.raises(InterruptedRunError, match=f"stopped at step {stop} of 8.*--resume --out"):
        train(recipe(*settings), tmp_path / "parts", quiet=True)
    parts = train(recipe(*settings), tmp_path / "parts", resume=True, quiet=True)
    assert _without_speed(parts.folder) == _without_speed(whole.folder)
    for name, array in _weights(whole.folder).items():
        np.testing.assert_array_equal(array, _weights(parts.folder)[name], err_msg=name)


def test_resuming_a_finished_run_returns_it_and_changes_nothing(recipe, tmp_path):
    run = train(recipe(), tmp_path / "run", resume=True, quiet=True)
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    assert train(recipe(), tmp_path / "run", resume=True, quiet=True) == run == Run.read(run.folder)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


def test_a_run_is_never_overwritten_and_never_goes_on_under_other_settings(recipe, tmp_path):
    train(recipe("train.steps=2"), tmp_path / "run", quiet=True)
    with pytest.raises(UsageError, match="holds a run already: go on with it by --resume"):
        train(recipe("train.steps=2"), tmp_path / "run")
    with pytest.raises(UsageError, match=r"another recipe \(train\.steps: 2 -> 3\)"):
        train(recipe("train.steps=3"), tmp_path / "run", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="other things in it"):
        train(recipe(), tmp_path / "mine", resume=True)


def test_force_goes_on_under_other_settings_and_says_which(recipe, tmp_path, capsys):
    train(recipe("train.steps=2"), tmp_path / "run", quiet=True)
    run = train(recipe("train.steps=4"), tmp_path / "run", resume=True, force=True)
    assert "going on with another recipe: train.steps: 2 -> 4" in capsys.readouterr().err
    assert run.summary["steps"] == 4
    with pytest.raises(KerasGPTError, match="of another model"):
        train(recipe("model.hidden_dim=32"), tmp_path / "run", resume=True, force=True, quiet=True)


def test_a_run_that_stopped_early_goes_on_if_forced(recipe, tmp_path):
    settings = "train.learning_rate=0", "train.evaluate_every=1", "train.early_stopping_patience=1"
    assert train(recipe("train.steps=6", *settings), tmp_path / "run", quiet=True).summary["steps"] == 2
    again = recipe("train.steps=6", "train.learning_rate=0.001", *settings[1:])
    run = train(again, tmp_path / "run", resume=True, force=True, quiet=True)
    assert run.summary["steps"] > 2


def test_a_forced_run_that_is_killed_at_once_has_all_patience(recipe, tmp_path, interrupt_at):
    settings = "train.steps=6", "train.evaluate_every=1", "train.early_stopping_patience=1"
    train(recipe("train.learning_rate=0", *settings), tmp_path / "run", quiet=True)
    interrupt_at(3, kill=True)
    with pytest.raises(SystemExit):
        train(recipe(*settings), tmp_path / "run", resume=True, force=True, quiet=True)
    assert train(recipe(*settings), tmp_path / "run", resume=True, quiet=True).summary["steps"] > 2


@pytest.mark.parametrize("every", [4, 100])
def test_a_forced_run_that_is_killed_at_once_keeps_the_best_model(recipe, tmp_path, interrupt_at, every):
    settings = f"train.checkpoint_every={every}", "train.evaluate_every=2"
    interrupt_at(7, kill=True)
    with pytest.raises(SystemExit):
        train(recipe(*settings), tmp_path / "run", quiet=True)
    best = _weights(tmp_path / "run")
    interrupt_at(5, kill=True)
    again = recipe("train.learning_rate=0", *settings)
    with pytest.raises(SystemExit):
        train(again, tmp_path / "run", resume=True, force=True, quiet=True)
    run = train(again, tmp_path / "run", resume=True, quiet=True)
    assert run.summary["best_step"] == 6
    for name, array in _weights(run.folder).items():
        np.testing.assert_array_equal(array, best[name], err_msg=name)


def test_the_batches_of_an_update_never_change_in_the_midst_of_a_run(recipe, tmp_path):
    train(recipe("train.steps=2", "train.accumulation_steps=2"), tmp_path / "run", quiet=True)
    again = recipe("train.steps=4", "train.accumulation_steps=3")
    with pytest.raises(UsageError, match=r"counts batches, so that train\.accumulation_steps: 2 -> 3 is not"):
        train(again, tmp_path / "run", resume=True, force=True, quiet=True)


def test_data_that_changed_is_refused_and_a_device_that_did_is_named(recipe, tmp_path, corpus, capsys):
    train(recipe("train.steps=2"), tmp_path / "run", quiet=True)
    state = tmp_path / "run" / "checkpoints" / "step-00000002" / "state.json"
    assert json.loads(state.read_text())["environment"]["backend"] == "tensorflow"
    old = json.loads(state.read_text())
    old["environment"]["device"] = "gpu: NVIDIA H200"
    state.write_text(json.dumps(old))
    hashes = {
        name: artifacts.sha256_of(state.parent / name) for name in ("variables.safetensors", "state.json")
    }
    (state.parent / "hashes.json").write_text(json.dumps(hashes))
    train(recipe("train.steps=3"), tmp_path / "run", resume=True, force=True)
    assert "device: gpu: NVIDIA H200 -> cpu: " in capsys.readouterr().err
    corpus.write_text(corpus.read_text().replace("be", "bee"))
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(UsageError, match=r"the data is another than this run was begun with \(data: "):
        train(recipe("train.steps=3"), tmp_path / "run", resume=True, quiet=True)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["train.sequence_length=100000"], "one window takes 100001: give more text"),
        (["data.paths=['none.txt']"], "none.txt: cannot read"),
        (["data.tokenizer=nowhere"], "nowhere: no such folder"),
        (["model.max_sequence_length=4"], "longer than the model's context of 4"),
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing(recipe, tmp_path, settings, sentence):
    with pytest.raises(KerasGPTError, match=sentence):
        train(recipe(*settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_a_validation_part_the_last_model_is_kept(recipe, tmp_path):
    run = train(recipe("data.validation_fraction=0"), tmp_path / "run", quiet=True)
    assert run.summary["best_step"] == 8
    assert "validation_loss" not in run.summary
    assert load(run.folder).generate(["to"])


def test_training_goes_on_from_a_checkpoint_of_another_format(run, recipe, model_folder, tmp_path):
    preset = tmp_path / "preset"
    assert run("import", model_folder, "--out", preset, "--format", "keras_hub").code == 0
    table = {**recipe("train.learning_rate=0").to_dict(), "model": {"init": str(preset)}}
    table["data"]["tokenizer"] = "auto"
    trained = train(type(recipe()).from_dict(table), tmp_path / "run", quiet=True)
    for name, array in load_file(model_folder / artifacts.WEIGHTS).items():
        np.testing.assert_array_equal(array, _weights(trained.folder)[name], err_msg=name)
    vocabularies = [(folder / "vocab.json").read_text() for folder in (model_folder, trained.model_folder)]
    assert vocabularies[0] == vocabularies[1]


REFIT = ("train.steps=4", "train.refit_steps=6", "train.evaluate_every=2", "data.test_fraction=0.2")


def test_a_refit_goes_on_from_the_best_model_with_the_validation_part(recipe, tmp_path):
    plain = train(recipe(REFIT[0], *REFIT[2:]), tmp_path / "plain", quiet=True)
    run = train(recipe(*REFIT), tmp_path / "run", quiet=True)
    refit = Run.read(run.folder / "refit")
    sizes = {part: plain.summary[f"{part}_bytes"] for part in ("train", "validation", "test")}
    assert refit.summary["train_bytes"] == sizes["train"] + sizes["validation"]
    assert refit.summary["test_bytes"] == sizes["test"]
    assert run.summary["validation_loss"] == plain.summary["validation_loss"]
    assert run.summary["test_loss"] == refit.summary["test_loss"] != plain.summary["test_loss"]
    assert run.summary["tokens_seen"] == plain.summary["tokens_seen"] * 10 / 4
    for name, array in _weights(run.folder).items():
        np.testing.assert_array_equal(array, _weights(refit.folder)[name], err_msg=name)
    assert np.abs(_weights(plain.folder)[name] - _weights(run.folder)[name]).max() > 0


def test_a_refit_learns_nothing_of_the_test_part(recipe, tmp_path, corpus):
    first = train(recipe(*REFIT), tmp_path / "first", quiet=True)
    data = corpus.read_bytes()
    corpus.write_bytes(data[: -first.summary["test_bytes"]] + b"Z" * first.summary["test_bytes"])
    second = train(recipe(*REFIT), tmp_path / "second", quiet=True)
    for name, array in _weights(first.folder).items():
        np.testing.assert_array_equal(array, _weights(second.folder)[name], err_msg=name)


def test_an_interrupted_refit_goes_on_as_if_never_stopped_or_moved(recipe, tmp_path, interrupt_at):
    whole = train(recipe(*REFIT), tmp_path / "whole", quiet=True)
    interrupt_at(5)
    with pytest.raises(InterruptedRunError, match="stopped in the refit.*--resume --out .*parts'"):
        train(recipe(*REFIT), tmp_path / "parts", quiet=True)
    (tmp_path / "parts").rename(tmp_path / "moved")
    parts = train(recipe(*REFIT), tmp_path / "moved", resume=True, quiet=True)
    assert parts.summary["test_loss"] == whole.summary["test_loss"]
    for name, array in _weights(whole.folder).items():
        np.testing.assert_array_equal(array, _weights(parts.folder)[name], err_msg=name)


def test_who_stops_a_run_at_its_end_gets_no_refit_before_it_goes_on(recipe, tmp_path, monkeypatch):
    whole = train(recipe(*REFIT), tmp_path / "whole", quiet=True)
    evaluate = EvaluateAndKeepBest.on_step

    def interrupted(self, step, logs):
        if step == self.settings.steps:
            signal.raise_signal(signal.SIGTERM)
        evaluate(self, step, logs)

    with monkeypatch.context() as patch:
        patch.setattr(EvaluateAndKeepBest, "on_step", interrupted)
        with pytest.raises(InterruptedRunError, match="stopped at step 4 of 4.*--resume --out .*parts'"):
            train(recipe(*REFIT), tmp_path / "parts", quiet=True)
    assert not (tmp_path / "parts" / "refit").exists()
    parts = train(recipe(*REFIT), tmp_path / "parts", resume=True, quiet=True)
    assert parts.summary["test_loss"] == whole.summary["test_loss"]


def test_a_refitted_run_goes_on_under_no_other_recipe(recipe, tmp_path):
    run = train(recipe(*REFIT), tmp_path / "run", quiet=True)
    before = _weights(run.folder)
    with pytest.raises(UsageError, match=r"was refitted.*train\.steps: 4 -> 8.*begin anew in another --out"):
        train(recipe("train.steps=8", *REFIT[1:]), run.folder, resume=True, force=True, quiet=True)
    for name, array in _weights(run.folder).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_refit_needs_a_validation_part(recipe):
    with pytest.raises(UsageError, match=r"train\.refit_steps is 6 and data\.validation_fraction 0"):
        recipe(*REFIT, "data.validation_fraction=0")


def test_where_no_evaluation_is_finite_the_last_model_is_kept_and_that_is_told(
    recipe, tmp_path, monkeypatch, capsys
):
    note, plain = RunState.note_validation, train(recipe(), tmp_path / "plain", quiet=True)
    monkeypatch.setattr(RunState, "note_validation", lambda self, loss: note(self, np.nan))
    run = train(recipe(), tmp_path / "run")
    assert "no evaluation gave a finite loss: the last model is kept" in capsys.readouterr().err
    assert (run.summary["best_step"], "validation_loss" in run.summary) == (8, False)
    assert plain.summary["best_step"] == 8  # so that it has the last model too
    for name, array in _weights(run.folder).items():
        np.testing.assert_array_equal(array, _weights(plain.folder)[name], err_msg=name)


@pytest.mark.parametrize("other", ["train.sequence_length=2", "data.document_mask=true"])
def test_a_loss_over_windows_of_another_kind_is_nothing_to_compare_with(recipe, tmp_path, monkeypatch, other):
    """But the best model stays where no step is left that could bring a better one."""
    asked, begin_anew = [], RunState.begin_anew

    def begun_anew(self, *arguments, is_comparable):
        asked.append(is_comparable)
        begin_anew(self, *arguments, is_comparable=is_comparable)

    monkeypatch.setattr(RunState, "begin_anew", begun_anew)
    for settings in ((), ("train.steps=6",), ("train.steps=6", other), ("train.steps=8",)):
        arguments = ["model.max_sequence_length=16", "train.steps=4", *settings]
        before = _weights(tmp_path / "run") if other in settings else {}
        run = train(recipe(*arguments), tmp_path / "run", resume=True, force=True, quiet=True)
        for name, array in before.items():
            np.testing.assert_array_equal(array, _weights(run.folder)[name], err_msg=name)
    assert asked == [True, True, False]
    assert (
        run.summary["best_step"] == 8
    )  # with the windows of the beginning again, and nothing to compare with


def test_nothing_of_validation_and_test_is_learned_from(recipe, tmp_path, corpus):
    settings = ["data.test_fraction=0.2", "data.tokenizer=learn"]
    first = train(recipe(*settings), tmp_path / "first", quiet=True)
    start = first.summary["train_bytes"]
    data = corpus.read_bytes()
    end = data.index(b"\n", start)  # the parts are cut where they were
    corpus.write_bytes(data[:end] + b"Z" * (len(data) - end))
    second = train(recipe(*settings), tmp_path / "second", quiet=True)
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        assert (first.model_folder / name).read_text() == (second.model_folder / name).read_text()
    losses = [[r["loss"] for r in _without_speed(run.folder) if "loss" in r] for run in (first, second)]
    assert losses[0] == losses[1]


JAX = """
import json, sys
from kerasgpt.quick_start import leave_out_bystanders
leave_out_bystanders()
from kerasgpt.training.config import Recipe
from kerasgpt.training.train import train
train(Recipe.from_toml(sys.argv[1]), sys.argv[2], quiet=True)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules} & {"tensorflow", "jax"})))
"""


@pytest.mark.slow
def test_jax_trains_with_the_same_losses_and_without_tensorflow(recipe, tmp_path):
    first = train(recipe("train.steps=1"), tmp_path / "first", quiet=True)
    table = {**recipe().to_dict(), "model": {"init": str(first.model_folder), "dropout": 0.0}}
    same = type(recipe()).from_dict(table, ["train.jit_compile=true"])
    on_tensorflow = train(same, tmp_path / "tensorflow", quiet=True)
    (tmp_path / "recipe.toml").write_text(same.to_toml())
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", JAX, str(tmp_path / "recipe.toml"), str(tmp_path / "jax")]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == ["jax"]
    for left, right in zip(
        _without_speed(on_tensorflow.folder), _without_speed(tmp_path / "jax"), strict=True
    ):
        assert left == pytest.approx(right, abs=1e-4)
    for name, array in _weights(on_tensorflow.folder).items():
        np.testing.assert_allclose(array, _weights(tmp_path / "jax")[name], atol=1e-3, err_msg=name)
