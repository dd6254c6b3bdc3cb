"""What a turn does, step by step, in one thread."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kerasgpt.generation import processors
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.runtime.language_model import open_bundle
from kerasgpt.runtime.scheduler import Scheduler
from kerasgpt.runtime.submission import Submission

LONG = np.random.default_rng(0).integers(0, 250, 40).tolist()


@pytest.fixture
def lm(bundle: Path) -> StepLanguageModel:
    return open_bundle(bundle, num_threads=1)


def submissions(lm: StepLanguageModel, *prompts: list[int], count: int = 5) -> list[Submission]:
    settings = [GenerationConfig(max_new_tokens=count)] * len(prompts)
    return [Submission(request) for request in lm.requests.read(prompts, settings)]


def written(submission: Submission) -> int:
    return len(submission.request.text._ids)


def test_short_prompts_are_read_together_and_long_ones_in_pieces(lm: StepLanguageModel) -> None:
    scheduler = Scheduler(lm, prefill_tokens=16)
    first, second, long, last = submissions(lm, [1, 2, 3], [4, 5, 6, 7, 8], LONG, [9])
    scheduler.admit([first, second, long, last])
    progress = []
    for _ in range(5):
        scheduler.turn()
        progress.append([written(each) for each in (first, second, long, last)])
    # Reading gives the first token, and the turn's step one more; 40 tokens are read in three turns.
    assert progress == [[2, 2, 0, 0], [3, 3, 0, 0], [4, 4, 0, 0], [5, 5, 2, 0], [5, 5, 3, 2]]
    while not scheduler.is_idle:
        scheduler.turn()
    for each, prompt in zip(
        (first, second, long, last), ([1, 2, 3], [4, 5, 6, 7, 8], LONG, [9]), strict=True
    ):
        assert each.result().token_ids == lm.generate([prompt], each.request.settings)[0].token_ids


def test_rows_are_counted_from_admission_to_the_end(lm: StepLanguageModel) -> None:
    scheduler = Scheduler(lm, prefill_tokens=16)
    assert (scheduler.num_rows, scheduler.is_idle) == (0, True)
    scheduler.admit([*submissions(lm, [1], [2], count=1), *submissions(lm, [3], count=0)])
    assert (scheduler.num_rows, scheduler.is_idle) == (2, False)  # nothing is wanted of the third
    scheduler.turn()
    assert (scheduler.num_rows, scheduler.is_idle) == (0, True)


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
def test_a_cancelled_text_ends_wherever_it_is(lm: StepLanguageModel, turns: int) -> None:
    scheduler = Scheduler(lm, prefill_tokens=16)
    long, short = submissions(lm, LONG, [1, 2], count=8)
    scheduler.admit([long, short])
    for _ in range(turns):
        scheduler.turn()
    long.cancel()
    scheduler.turn()
    assert written(long) == len(long.result().token_ids) == {0: 0, 1: 0, 2: 0, 5: 4}[turns]
    while not scheduler.is_idle:
        scheduler.turn()
    assert short.result().token_ids == lm.generate([[1, 2]], short.request.settings)[0].token_ids


def fail(*_: object, **__: object) -> None:
    raise MemoryError("no room")


def finish(scheduler: Scheduler) -> None:
    while not scheduler.is_idle:
        scheduler.turn()


def assert_as_alone(lm: StepLanguageModel, submission: Submission) -> None:
    prompt, settings = submission.request.prompt, submission.request.settings
    assert submission.result() == replace(
        lm.generate([prompt], settings)[0], logprobs=submission.result().logprobs
    )


def test_an_engine_that_fails_fails_those_under_way_only(
    lm: StepLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(lm, prefill_tokens=16)
    first, second = submissions(lm, [1, 2], LONG)
    with monkeypatch.context() as patch:
        patch.setattr(lm.model, "step", fail)
        scheduler.admit([first, second])
        scheduler.turn()
    for each in (first, second):
        with pytest.raises(MemoryError, match="no room"):
            each.result()
    (third,) = submissions(lm, [5])
    scheduler.admit([third])
    finish(scheduler)
    assert len(third.result().token_ids) == 5


@pytest.mark.parametrize("bad", [[3, 7, 3], [7] * 30], ids=str)  # read with others, and in pieces
def test_a_prompt_that_cannot_be_read_ends_its_own_text(
    lm: StepLanguageModel, bad: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(lm, prefill_tokens=16)
    running, *others, wrong = submissions(lm, [9, 9], [1, 2], [4], LONG, bad)
    scheduler.admit([running])
    scheduler.turn()
    prefill = lm.model.prefill

    def prefill_of(ids: np.ndarray, lengths: np.ndarray) -> object:
        return fail() if 7 in ids else prefill(ids, lengths)

    with monkeypatch.context() as patch:
        patch.setattr(lm.model, "prefill", prefill_of)
        scheduler.admit([others[0], wrong, *others[1:]])
        finish(scheduler)
    with pytest.raises(MemoryError, match="no room"):
        wrong.result()
    for each in (running, *others):
        assert_as_alone(lm, each)


@pytest.mark.parametrize("what", ["row", "settings", "stop", "take", "finish"])
def test_what_goes_wrong_with_one_text_ends_that_one(
    lm: StepLanguageModel, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(lm, prefill_tokens=64)
    running, first, wrong, second = submissions(lm, [9, 9], [1, 2], [3, 7], [4])
    scheduler.admit([running])
    scheduler.turn()
    heed = processors.heed

    def heed_all_but(logits: np.ndarray, settings: object, text: Text, end_of_text_id: int) -> object:
        is_wrong = text.ids[:2].tolist() == [3, 7] and len(text.ids) > 3
        return fail() if is_wrong else heed(logits, settings, text, end_of_text_id)

    if what == "row":
        object.__setattr__(wrong.request.settings, "max_new_tokens", 4.0)
        wrong = Submission(replace(wrong.request, seed=1))
        for each in (running, first, second):
            object.__setattr__(each.request, "settings", GenerationConfig(max_new_tokens=5))
    elif what == "settings":
        monkeypatch.setattr(processors, "heed", heed_all_but)
    elif what == "stop":
        monkeypatch.setattr(wrong.request.text, "push", fail)
    else:
        monkeypatch.setattr(wrong.request.text, {"take": "record"}.get(what, what), fail)
    scheduler.admit([first, wrong, second])
    finish(scheduler)
    with pytest.raises(TypeError if what == "row" else MemoryError):
        wrong.result()
    monkeypatch.undo()
    for each in (running, first, second):
        assert_as_alone(lm, each)
