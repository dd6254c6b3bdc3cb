"""What happens between steps, on a `fit` of a few steps."""

import json
import signal
import time

import numpy as np
import pytest

from kerasgpt.data.pipeline import TokenDataset
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.callback_list import LazyCallbacks
from kerasgpt.training.callbacks import (
    CountSteps,
    EvaluateAndKeepBest,
    LogLosses,
    SaveAndStop,
    kept_metrics,
)
from kerasgpt.training.interruption import Interruption
from kerasgpt.training.journal import Journal, read_journal
from kerasgpt.training.learner import make_learner
from kerasgpt.training.progress import Progress
from kerasgpt.training.resume import RunState
from kerasgpt.training.throughput import Speedometer

IDS = np.arange(500) % 7


@pytest.fixture
def fit(recipe, tmp_path):
    """Train on a cycle of seven ids; the result is the state, the journal and what was saved as best."""

    def run(*settings, interruption=None, losses=None):
        train = recipe(*settings).train
        learner = make_learner(recipe(*settings), Tokenizer.learn(["abc"], 257))
        state, saved = RunState(), []
        journal, progress = Journal(tmp_path / "metrics.jsonl"), Progress(train.steps, quiet=True)
        evaluate = EvaluateAndKeepBest(
            train,
            state,
            learner,
            TokenDataset(IDS[:50], 16, 2, seed=None),
            lambda loss: 2 * loss,
            lambda model: saved.append(state.step),
            lambda model: "sample",
            journal,
            progress,
        )
        if losses is not None:
            learner.model.evaluate = lambda *args, **kwargs: {"nats": losses[state.step]}
        stop = SaveAndStop(train, state, learner, interruption or Interruption(), tmp_path / "checkpoints")
        measures = Speedometer(1e3, 0.0), lambda: 5, lambda: 0.25
        logs = LogLosses(train, state, learner, journal, progress, *measures)
        callbacks = [CountSteps(train, state, learner), logs]
        batches = train.steps * train.accumulation_steps
        data = TokenDataset(IDS, 16, 2, num_steps=batches)
        callbacks = LazyCallbacks([*callbacks, evaluate, stop], learner.model)
        learner.model.fit(data, verbose=0, shuffle=False, callbacks=callbacks)
        return state, read_journal(journal.path), saved

    return run


def test_steps_are_logged_evaluated_and_counted(fit, tmp_path):
    state, records, saved = fit("train.steps=5")
    assert [record["step"] for record in records if "loss" in record] == [2, 4, 5]
    assert [record["step"] for record in records if "validation_loss" in record] == [4, 5]
    measured = {"tokens_per_second", "memory_bytes", "input_share"}
    assert set(records[0]) == {"step", "loss", "learning_rate", "grad_norm", *measured}
    # A quarter of a second was waited for in all, before the first line.
    assert records[0]["input_share"] > 0 == records[1]["input_share"]
    evaluations = [record for record in records if "validation_loss" in record]
    assert all(record["bits_per_byte"] == 2 * record["validation_loss"] for record in evaluations)
    assert (state.step, state.is_over) == (5, True)
    assert state.best_step == saved[-1]
    assert 0 < state.evaluation_seconds < state.seconds
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000003", "step-00000005"]


def test_a_logged_loss_is_the_mean_since_the_last_one_and_evaluations_do_not_disturb_it(fit):
    _, each, _ = fit("train.log_every=1", "train.evaluate_every=100")
    _, pairs, _ = fit("train.log_every=4", "train.evaluate_every=3")
    losses = [record["loss"] for record in each if "loss" in record]
    logged = [record["loss"] for record in pairs if "loss" in record]
    tokens = [data_weights.sum() for _, _, data_weights in TokenDataset(IDS, 16, 2)][:8]
    means = [np.average(losses[part], weights=tokens[part]) for part in (slice(4), slice(4, 8))]
    assert logged == pytest.approx(means, rel=1e-5)


def test_steps_count_updates_when_batches_are_accumulated(fit):
    state, records, _ = fit("train.steps=4", "train.accumulation_steps=3", "train.log_every=1")
    assert [record["step"] for record in records if "loss" in record] == [1, 2, 3, 4]
    rates = [record["learning_rate"] for record in records if "loss" in record]
    assert rates[1] > rates[0]
    assert rates[3] < rates[2]
    assert state.step == 4


def test_training_stops_early_and_keeps_the_best(fit):
    losses = {1: 3.0, 2: 2.0, 3: 2.5, 4: 2.4, 5: 1.0}
    settings = ["train.evaluate_every=1", "train.early_stopping_patience=2", "train.log_every=100"]
    state, records, saved = fit(*settings, losses=losses)
    assert (state.step, state.best_step, state.is_over) == (4, 2, True)
    assert state.train_loss > 0
    assert saved == [1, 2]
    assert records[-1]["step"] == 4


def test_a_wish_to_stop_saves_and_ends_after_the_step(fit, tmp_path):
    state, _, _ = fit(interruption=Interruption(signal.SIGINT))
    assert (state.step, state.is_over) == (1, False)
    content = json.loads((tmp_path / "checkpoints" / "step-00000001" / "state.json").read_text())
    assert content["step"] == 1


def test_a_loss_that_is_no_number_stops_with_a_sentence(fit):
    with pytest.raises(KerasGPTError, match="the loss is nan at step .*: try a learning rate below 1e"):
        fit("train.learning_rate=1e30", "train.clip_norm=0", "train.warmup_steps=0", "train.log_every=1")


def test_metrics_are_kept_through_an_evaluation(recipe):
    model = make_learner(recipe(), Tokenizer.learn(["abc"], 257)).model
    ids = np.arange(32).reshape(2, 16)
    model.train_on_batch(ids, ids)
    before = model.get_metrics_result()
    with kept_metrics(model):
        model.evaluate(ids + 1, ids, verbose=0)
    assert model.get_metrics_result() == before


def test_the_rate_logged_is_the_one_of_the_last_update_that_was_one(recipe, tmp_path):
    learner = make_learner(
        recipe("train.precision=mixed_float16", "train.steps=4", "train.warmup_steps=3", "train.log_every=1"),
        Tokenizer.learn(["abc"], 257),
    )
    learner.model.optimizer.dynamic_scale.assign(1e30)  # overflows at every step
    train = recipe("train.steps=4", "train.warmup_steps=3", "train.log_every=1").train
    state, journal = RunState(), Journal(tmp_path / "metrics.jsonl")
    progress, measures = Progress(4, quiet=True), (Speedometer(1e3, 0.0), lambda: 5, lambda: 0.25)
    logs = LogLosses(train, state, learner, journal, progress, *measures)
    data = TokenDataset(IDS, 16, 2, num_steps=4)
    callbacks = LazyCallbacks([CountSteps(train, state, learner), logs], learner.model)
    learner.model.fit(data, verbose=0, shuffle=False, callbacks=callbacks)
    rates = [row["learning_rate"] for row in read_journal(journal.path)]
    assert len(rates) == 4
    assert rates == [rates[0]] * 4


class Late:
    """A loss that is on its way yet."""

    def __float__(self):
        time.sleep(1)
        return 1.0


def test_the_time_of_steps_on_their_way_is_counted_where_a_loss_is_read(recipe):
    train, state = recipe("train.steps=11", "train.log_every=5").train, RunState()
    count = CountSteps(train, state, make_learner(recipe(), Tokenizer.learn(["abc"], 257)))
    count.on_train_begin()
    count.on_step(4, {"nats": "not read"})
    count.on_step(5, {"nats": Late()})
    assert state.seconds >= 1
    count.on_step(6, {"nats": "not read"})
    count.on_step(11, {"nats": Late()})
    assert state.seconds >= 2


def test_time_spent_evaluating_after_the_last_step_is_no_time_of_training(fit):
    class Slow:
        def __getitem__(self, step):
            time.sleep(0.5)
            return 1.0

    state, _, _ = fit("train.evaluate_every=100", losses=Slow())
    assert state.evaluation_seconds > 0.5
    assert state.training_seconds > 0


def test_after_going_back_the_speed_is_of_the_steps_since(recipe, tmp_path):
    settings = recipe("train.steps=30", "train.log_every=4")
    learner = make_learner(settings, Tokenizer.learn(["abc"], 257))
    state, journal = RunState(step=12, seconds=100.0), Journal(tmp_path / "metrics.jsonl")
    measures = Speedometer(1e3, 0.0), lambda: 5, lambda: state.seconds  # the input is all that takes time
    logs = LogLosses(settings.train, state, learner, journal, Progress(30, quiet=True), *measures)
    logs.set_model(learner.model)
    for _ in range(2):  # a second time too, after a checkpoint has set the count of them to nothing
        state.seconds += 50.0  # of steps that will not have been, and of a checkpoint read
        journal.drop_after(10)
        state.seconds += 2.0
        logs.on_step(12, {})
        (line,) = read_journal(journal.path)
        assert line["tokens_per_second"] == settings.train.tokens_per_step
        assert line["input_share"] == 1


def test_waiting_for_steps_on_their_way_is_no_time_of_an_evaluation(fit, monkeypatch):
    plain = EvaluateAndKeepBest.on_step
    monkeypatch.setattr(
        EvaluateAndKeepBest, "on_step", lambda self, step, logs: plain(self, step, {"nats": Late()})
    )
    state, _, _ = fit("train.evaluate_every=100", losses=dict.fromkeys(range(100), 1.0))
    assert state.evaluation_seconds < 1
