"""Checkpoints: all variables, atomic, the last two."""

import dataclasses
import math

import numpy as np
import pytest

from kerasgpt.artifacts import sha256_of, write_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import Recipe
from kerasgpt.training.learner import make_learner
from kerasgpt.training.resume import ARRAYS, RunState, checkpoints, restore_checkpoint, save_checkpoint
from kerasgpt.training.settings import TrainConfig

IDS = np.arange(32, dtype="int32").reshape(2, 16)


@pytest.fixture
def make(recipe):
    tokenizer = Tokenizer.learn(["to be or not to be"] * 3, 260)
    return lambda *settings: make_learner(recipe("model.dropout=0.2", *settings), tokenizer)


def _train(learner, steps=1):
    return [float(learner.model.train_on_batch(IDS, IDS, np.ones((2, 16)))[0]) for _ in range(steps)]


@pytest.mark.parametrize(("precision", "accumulation_steps"), [("float32", 2), ("mixed_float16", 1)])
def test_a_restored_learner_goes_on_exactly(make, tmp_path, precision, accumulation_steps):
    settings = [f"train.precision={precision}", f"train.accumulation_steps={accumulation_steps}"]
    first = make(*settings)
    _train(first, 3)
    state = RunState(step=3, seconds=1.5, train_loss=2.0, best_loss=2.0, best_step=2)
    save_checkpoint(tmp_path, first, state, TrainConfig())
    second = make(*settings, "train.seed=9")
    assert restore_checkpoint(tmp_path, second) == state
    assert float(second.metric.result()) == float(first.metric.result())
    assert _train(first, 3) == _train(second, 3)
    for left, right in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_only_the_last_two_are_kept_and_an_unreadable_one_is_passed_over(make, tmp_path):
    learner = make()
    for step in (1, 5, 10):
        save_checkpoint(tmp_path, learner, RunState(step=step), TrainConfig())
    assert sorted(path.name for path in tmp_path.glob("*step-*")) == ["step-00000005", "step-00000010"]
    newest = tmp_path / "step-00000010" / ARRAYS
    newest.write_bytes(newest.read_bytes()[:100])
    assert restore_checkpoint(tmp_path, learner).step == 5
    (tmp_path / "step-00000005" / "state.json").write_text('{"steps": 3}')
    with pytest.raises(KerasGPTError, match="step-00000010: cannot read this checkpoint"):
        restore_checkpoint(tmp_path, learner)


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ({"keep_last_checkpoints": 1}, [9]),
        ({"keep_last_checkpoints": 3}, [7, 8, 9]),
        ({"keep_best_checkpoint": True}, [5, 8, 9]),
        ({"keep_checkpoint_every": 3}, [3, 6, 8, 9]),
    ],
)
def test_the_policy_says_which_checkpoints_stay(make, tmp_path, policy, kept):
    learner = make()
    for step in range(1, 10):
        save_checkpoint(tmp_path, learner, RunState(step=step, best_step=min(step, 5)), TrainConfig(**policy))
    assert [int(folder.name[-8:]) for folder in reversed(checkpoints(tmp_path))] == kept


def test_a_users_own_copy_of_a_checkpoint_is_left_alone(make, tmp_path):
    learner = make()
    save_checkpoint(tmp_path, learner, RunState(step=1), TrainConfig())
    (tmp_path / "step-00000001").rename(tmp_path / "step-00000001-keep")
    for step in (2, 3, 4):
        save_checkpoint(tmp_path, learner, RunState(step=step), TrainConfig())
    assert (tmp_path / "step-00000001-keep" / ARRAYS).is_file()
    assert len(checkpoints(tmp_path)) == 2


def test_checkpoints_of_a_course_that_was_left_are_dropped(make, tmp_path):
    learner = make()
    for step in (4, 8, 5):
        save_checkpoint(tmp_path, learner, RunState(step=step), TrainConfig())
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000005", "step-00000004"]


def test_the_best_so_far_may_be_enough():
    settings = TrainConfig(steps=10, early_stopping_patience=2)
    assert [RunState(step=step).is_enough(settings) for step in (9, 10)] == [False, True]
    assert [RunState(evaluations_since_best=n).is_enough(settings) for n in (1, 2)] == [False, True]
    assert not RunState(step=5, evaluations_since_best=9).is_enough(TrainConfig(steps=10))


def test_without_a_checkpoint_a_run_starts_fresh(make, tmp_path):
    assert restore_checkpoint(tmp_path / "none", make()) == RunState()


def test_a_checkpoint_of_another_model_is_refused_and_changes_nothing(make, tmp_path):
    save_checkpoint(tmp_path, make(), RunState(step=1), TrainConfig())
    other = make("model.hidden_dim=8")
    before = other.model.get_weights()
    with pytest.raises(KerasGPTError, match="of another model"):
        restore_checkpoint(tmp_path, other)
    for left, right in zip(before, other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("train.freeze=['h.0.*', 'w*', 'ln_f*']", "train.freeze=['h.1.*', 'w*', 'ln_f*']"),
        ("train.ema_decay=0", "train.ema_decay=0.9"),
    ],
)
def test_a_checkpoint_of_another_optimizer_is_refused(make, tmp_path, first, second):
    save_checkpoint(tmp_path, make("model.num_layers=2", first), RunState(step=1), TrainConfig())
    with pytest.raises(KerasGPTError, match=r"its optimizer has another state .*train\.freeze"):
        restore_checkpoint(tmp_path, make("model.num_layers=2", second))


def test_a_checkpoint_that_does_not_name_its_variables_yet_is_read(make, tmp_path):
    folder = save_checkpoint(tmp_path, make(), RunState(step=1), TrainConfig())
    write_json(folder / "state.json", {"step": 1})
    write_json(folder / "hashes.json", {name: sha256_of(folder / name) for name in (ARRAYS, "state.json")})
    assert restore_checkpoint(tmp_path, make()) == RunState(step=1)


def test_another_recipe_begins_with_all_patience_and_the_best_model_that_is_there():
    state = RunState(step=4, best_loss=3.0, best_step=2, evaluations_since_best=1)
    losses = {2: 3.0, 4: 3.5, 6: 2.5, 8: 2.75}
    records = [{"step": step, "validation_loss": loss} for step, loss in losses.items()]
    records += [{"step": 5, "loss": 1.0}, {"step": 9, "validation_loss": float("nan")}]
    before, now = Recipe(), Recipe(train=TrainConfig(batch_size=3))
    state.begin_anew(records, before.train, now.train, is_comparable=True)
    assert (state.best_loss, state.best_step, state.evaluations_since_best) == (2.5, 6, 0)
    state.step = 6  # two more, in batches of another size
    tokens = 4 * before.train.tokens_per_step + 2 * now.train.tokens_per_step
    assert state.tokens_seen(now.train) == tokens
    state.begin_anew([], now.train, before.train, is_comparable=True)
    assert state.tokens_seen(before.train) == tokens


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [(12, 10), (6, 20), (24, 5), (7, 17)],  # batches of so many rows that 10 of 12 are
)
def test_with_batches_of_another_size_the_data_goes_on_where_it_was(batch_size, expected):
    state = RunState(step=8, data_offset=2)
    now = TrainConfig(batch_size=batch_size)
    state.begin_anew([], TrainConfig(batch_size=12), now, is_comparable=True)
    assert state.step + state.data_offset == expected


def test_losses_on_another_validation_part_are_nothing_to_compare_with():
    state = RunState(step=4, best_loss=3.0, best_step=2, validation_loss=3.5)
    state.begin_anew([{"step": 6, "validation_loss": 2.5}], TrainConfig(), TrainConfig(), is_comparable=False)
    assert (state.best_loss, state.best_step, state.validation_loss) == (None, 0, None)


def test_the_state_knows_the_best():
    state = RunState(step=0)
    losses = {-1: math.nan, 0: math.inf, 1: 3.0, 2: 2.0, 3: 2.5, 4: 2.0, 5: math.nan, 6: 1.0}
    best = []
    for state.step, loss in losses.items():
        best.append(state.note_validation(loss))
    assert best == [False, False, True, True, False, False, False, True]
    assert (state.best_step, state.best_loss, state.evaluations_since_best) == (6, 1.0, 0)
    of_before = RunState(step=1, best_loss=math.nan)  # as checkpoints may still have it
    assert of_before.note_validation(3.0)
    assert dataclasses.replace(state, seconds=9, evaluation_seconds=2).training_seconds == 7
