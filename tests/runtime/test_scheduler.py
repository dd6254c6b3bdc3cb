"""What a turn does, step by step, in one thread."""

from pathlib import Path

import numpy as np
import pytest

from kerasgpt.generation.language_model import StepLanguageModel
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


@pytest.mark.parametrize("method", ["prefill", "step"])
def test_an_engine_that_fails_fails_those_under_way_only(
    lm: StepLanguageModel, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    scheduler = Scheduler(lm, prefill_tokens=16)
    first, second = submissions(lm, [1, 2], LONG)
    with monkeypatch.context() as patch:
        patch.setattr(lm.model, method, fail)
        scheduler.admit([first, second])
        scheduler.turn()
    for each in (first, second):
        with pytest.raises(MemoryError, match="no room"):
            each.result()
    (third,) = submissions(lm, [5])
    scheduler.admit([third])
    while not scheduler.is_idle:
        scheduler.turn()
    assert len(third.result().token_ids) == 5
