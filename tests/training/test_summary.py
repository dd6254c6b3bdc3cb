"""The summary: what its numbers are made of."""

import json
import math
from dataclasses import replace

import pytest

from kerasgpt.data.packing import pack
from kerasgpt.engines import load
from kerasgpt.tasks import language_modeling
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.resume import RunState
from kerasgpt.training.summary import sum_up

STATE = RunState(
    step=4, seconds=10.0, evaluation_seconds=2.0, train_loss=2.5, best_loss=math.log(8), best_step=2
)


@pytest.fixture
def summed_up(recipe, model_folder):
    """A summary of a run that never was, with a model at hand."""

    def sum_up_with(*settings, state=STATE, refit=None):
        made = recipe("data.test_fraction=0.2", *settings)
        packed = pack(made.data.paths, Tokenizer.from_preset(model_folder), made.data.division())
        return sum_up(model_folder, made, packed, state, refit), packed

    return sum_up_with


def test_speed_counts_the_seconds_of_training_and_perplexity_is_of_the_best(summed_up):
    summary, packed = summed_up()
    assert (summary["steps"], summary["best_step"], summary["train_loss"]) == (4, 2, 2.5)
    assert summary["tokens_seen"] == 4 * 2 * 16
    assert summary["tokens_per_second"] == 4 * 2 * 16 / 8
    assert summary["validation_perplexity"] == pytest.approx(8)
    size = packed.sizes["validation"]
    bits = 3 * (size.num_tokens - 1) / size.num_bytes
    assert summary["validation_bits_per_byte"] == pytest.approx(bits)


def test_a_perplexity_beyond_all_numbers_is_left_out(summed_up):
    summary, _ = summed_up(state=replace(STATE, best_loss=710.0))
    assert summary["validation_loss"] == 710
    assert "validation_perplexity" not in summary


def test_the_test_part_is_scored_with_the_model(summed_up, model_folder, corpus):
    summary, packed = summed_up()
    tail = corpus.read_bytes()[-packed.sizes["test"].num_bytes :].decode()
    expected = language_modeling.evaluate(load(model_folder), tail)
    for name in ("loss", "perplexity", "bits_per_byte"):
        assert summary[f"test_{name}"] == pytest.approx(expected[name])


def test_each_document_of_the_test_part_is_scored_alone(recipe, model_folder, tmp_path, monkeypatch):
    texts = [f"Document {number} says: {'bla ' * (number % 5)}so." for number in range(40)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    settings = ("data.split=document", "data.validation_fraction=0.2", "data.test_fraction=0.4")
    made = recipe(f"data.paths={tmp_path / 'docs.jsonl'}", *settings)
    packed = pack(made.data.paths, Tokenizer.from_preset(model_folder), made.data.division())
    ids, starts = packed.ids("test"), packed.document_starts("test").tolist()
    lm = load(model_folder)
    held_out = [
        lm.tokenizer.decode(ids[start:end].tolist())
        for start, end in zip(starts, [*starts[1:], len(ids)], strict=True)
    ]
    assert 5 < len(held_out) < 35
    assert set(held_out) < set(texts)
    expected = language_modeling.evaluate(lm, "\n<|endoftext|>\n".join(held_out))
    monkeypatch.setattr(language_modeling, "TOKENS_TOGETHER", 50)
    summary = sum_up(model_folder, made, packed, STATE)
    for name in ("loss", "perplexity", "bits_per_byte"):
        assert summary[f"test_{name}"] == pytest.approx(expected[name], rel=1e-5)


def test_a_refit_gives_the_test_scores_and_adds_to_the_cost(summed_up):
    refit = {
        "steps": 3,
        "train_loss": 2.0,
        "tokens_seen": 96,
        "seconds": 5.5,
        "test_loss": 1.25,
        "best_step": 3,
    }
    summary, _ = summed_up(refit=refit)
    assert (summary["steps"], summary["refit_steps"], summary["refit_train_loss"]) == (4, 3, 2.0)
    assert (summary["test_loss"], summary["best_step"]) == (1.25, 2)
    assert (summary["tokens_seen"], summary["seconds"]) == (4 * 2 * 16 + 96, 15.5)


def test_without_validation_and_test_neither_is_there(summed_up):
    state = RunState(step=4, seconds=10.0, train_loss=2.5)
    summary, _ = summed_up("data.validation_fraction=0", "data.test_fraction=0", state=state)
    assert summary["best_step"] == 4
    assert not [name for name in summary if name.startswith(("validation_l", "test_l"))]


def test_a_test_part_of_white_space_has_no_scores(summed_up, tmp_path):
    (tmp_path / "blank.txt").write_text("To be, or not to be, that is the question.\n" * 200 + "\n" * 3000)
    summary, packed = summed_up(f"data.paths={str(tmp_path / 'blank.txt')!r}", "data.test_fraction=0.05")
    assert packed.sizes["test"].num_tokens
    assert not [name for name in summary if name.startswith("test_l")]
    assert summary["test_tokens"] == packed.sizes["test"].num_tokens
