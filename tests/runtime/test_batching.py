"""Requests that come and go in one batch have the texts that they have alone."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Generation, LanguageModel
from kerasgpt.runtime import scheduler
from kerasgpt.runtime.batching import ContinuousBatching
from kerasgpt.runtime.language_model import open_bundle, open_file
from kerasgpt.runtime.submission import Submission

GENERATOR = np.random.default_rng(0)
PROMPTS = [GENERATOR.integers(0, 250, length).tolist() for length in (3, 30, 1, 12, 20, 7, 2, 25)]
SETTINGS = [
    GenerationConfig(max_new_tokens=16),
    GenerationConfig(max_new_tokens=9, temperature=1.0, top_k=40, seed=3),
    GenerationConfig(max_new_tokens=40, temperature=0.8, top_p=0.9, seed=4, stop=("e",)),
    GenerationConfig(max_new_tokens=12, repetition_penalty=1.3, echo=True),
    GenerationConfig(max_new_tokens=1),
    GenerationConfig(max_new_tokens=0),
    GenerationConfig(max_new_tokens=20, no_repeat_ngram_size=2),
    GenerationConfig(max_new_tokens=100, temperature=1.2, seed=9),
]


@pytest.fixture
def fp32(bundle: Path) -> StepLanguageModel:
    return open_bundle(bundle, num_threads=1)


@pytest.fixture
def batching(fp32: StepLanguageModel) -> Iterator[ContinuousBatching]:
    with ContinuousBatching(fp32, max_batch_size=3) as opened:
        yield opened


def accepts(lm: LanguageModel) -> LanguageModel:
    return lm


def ask_from_threads(batching: ContinuousBatching, gap_seconds: float) -> list[Generation]:
    """Each request from a thread of its own, so many seconds apart, read as it comes."""
    results: list[Generation] = [None] * 8

    def ask(number: int) -> None:
        submission = batching.submit(PROMPTS[number], SETTINGS[number])
        text = "".join(submission)
        results[number] = submission.result()
        assert text == results[number].text

    threads = [Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
        time.sleep(gap_seconds)
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("gap_seconds", [0.0, 0.004])
@pytest.mark.parametrize("name", [artifacts.FAST_FP32, artifacts.ONNX_MODEL])
def test_each_thread_has_the_text_that_it_has_alone(
    bundle: Path, name: str, rows: int, gap_seconds: float
) -> None:
    lm = open_file(bundle, name, num_threads=1)
    alone = [lm.generate([prompt], own)[0] for prompt, own in zip(PROMPTS, SETTINGS, strict=True)]
    with ContinuousBatching(lm, max_batch_size=rows, prefill_tokens=16) as batching:
        found = ask_from_threads(batching, gap_seconds)
    for own, expected in zip(found, alone, strict=True):
        assert replace(own, logprobs=[]) == replace(expected, logprobs=[])
        known, wanted = ([each or 0.0 for each in result.logprobs] for result in (own, expected))
        np.testing.assert_allclose(known, wanted, atol=1e-3)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_in_8_and_4_bits_each_thread_has_a_text_of_its_own_prompt(bundle: Path, precision: str) -> None:
    """Activations are rounded otherwise in a batch than alone, and a text that hangs by a hair is another."""
    lm = open_bundle(bundle, precision=precision, num_threads=1)
    with ContinuousBatching(lm, max_batch_size=3, prefill_tokens=16) as batching:
        found = ask_from_threads(batching, 0.002)
    for prompt, own, result in zip(PROMPTS, SETTINGS, found, strict=True):
        written = result.token_ids[len(prompt) * own.echo :]
        (score,) = lm.score([prompt], [written])
        logprobs = result.logprobs[len(prompt) * own.echo :]
        assert score.logprob == pytest.approx(sum(logprobs), abs=0.1 + 0.02 * len(written))


def test_it_is_a_language_model_with_the_models_answers(
    batching: ContinuousBatching, fp32: StepLanguageModel
) -> None:
    assert accepts(batching).max_sequence_length == 48
    assert batching.tokenizer is fp32.tokenizer
    texts = ["To be", "", "or not to be"]
    for settings in (SETTINGS[0], SETTINGS[1], replace(SETTINGS[1], num_return_sequences=2)):
        found = batching.generate(texts, settings)
        assert [own.token_ids for own in found] == [own.token_ids for own in fp32.generate(texts, settings)]
    beams = GenerationConfig(num_beams=2, max_new_tokens=5)
    assert batching.generate(texts, beams) == fp32.generate(texts, beams)
    assert "".join(batching.stream("To be")) == fp32.generate(["To be"])[0].text
    assert "".join(batching.stream("To be", beams)) == fp32.generate(["To be"], beams)[0].text
    assert batching.score(texts, texts) == fp32.score(texts, texts)
    assert batching.generate([]) == []


def test_what_does_not_fit_in_waits_its_turn(fp32: StepLanguageModel) -> None:
    sizes = []
    step = fp32.model.step

    def counted(state: object, ids: np.ndarray) -> object:
        sizes.append(len(ids))
        return step(state, ids)

    fp32.model.step = counted
    with ContinuousBatching(fp32, max_batch_size=3) as batching:
        submissions = [batching.submit(prompt, SETTINGS[0]) for prompt in PROMPTS]
        assert all(len(submission.result().token_ids) == 16 for submission in submissions)
    assert max(sizes) == 3
    assert len(sizes) < 8 * 15 / 2  # they were written together


def test_whoever_stops_reading_frees_the_row(fp32: StepLanguageModel) -> None:
    settings = GenerationConfig(max_new_tokens=1000)
    with ContinuousBatching(fp32, max_batch_size=1, prefill_tokens=16) as batching:
        pieces = batching.stream([1], settings)
        next(pieces)
        pieces.close()
        assert len(batching.submit([2], SETTINGS[0]).result().token_ids) == 16


def test_closing_ends_what_was_begun_and_takes_no_more(fp32: StepLanguageModel) -> None:
    batching = ContinuousBatching(fp32)
    submissions = [batching.submit(prompt, SETTINGS[0]) for prompt in PROMPTS]
    batching.close()
    assert [len(submission.result().token_ids) for submission in submissions] == [16] * 8
    with pytest.raises(UsageError, match="this batch is closed: open another one"):
        batching.submit([1])
    batching.close()


def test_a_cancelled_text_that_waits_ends_at_once(fp32: StepLanguageModel) -> None:
    step, may_step = fp32.model.step, Event()

    def waiting(state: object, ids: np.ndarray) -> object:
        may_step.wait(10)
        return step(state, ids)

    fp32.model.step = waiting
    with ContinuousBatching(fp32, max_batch_size=1) as batching:
        first, second = (batching.submit([number], SETTINGS[0]) for number in (1, 2))
        second.cancel()
        assert second.result().token_ids == []  # while the only row is busy
        may_step.set()
        assert len(first.result().token_ids) == 16


@pytest.mark.parametrize("drop", [lambda pieces: pieces.close(), lambda pieces: pieces.__del__()])
def test_a_stream_given_up_before_its_first_piece_frees_the_row(
    fp32: StepLanguageModel, drop: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Submission] = []
    with ContinuousBatching(fp32, max_batch_size=1) as batching:
        enqueue = batching._enqueue
        monkeypatch.setattr(batching, "_enqueue", lambda request: made.append(enqueue(request)) or made[-1])
        pieces = batching.stream([1], GenerationConfig(max_new_tokens=1000))
        drop(pieces)
        assert made[0].is_cancelled
        assert list(pieces) == []
        assert len(batching.submit([2], SETTINGS[0]).result().token_ids) == 16


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_call_that_is_interrupted_cancels_all_of_it(
    batching: ContinuousBatching, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[Submission] = []

    def interrupted(submission: Submission) -> None:
        waited.append(submission)
        raise error

    made: list[Submission] = []
    enqueue = batching._enqueue
    monkeypatch.setattr(batching, "_enqueue", lambda request: made.append(enqueue(request)) or made[-1])
    monkeypatch.setattr(Submission, "result", interrupted)
    with pytest.raises(error):
        batching.generate([[1], [2], [3], [4], [5]], GenerationConfig(max_new_tokens=40))
    assert len(waited) == 1
    assert [each.is_cancelled for each in made] == [True] * 5


def test_a_row_that_cannot_be_made_fails_alone(
    batching: ContinuousBatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "Row", raises(MemoryError("no room")))
        with pytest.raises(MemoryError, match="no room"):
            batching.submit([1], SETTINGS[0]).result()
    assert len(batching.submit([1], SETTINGS[0]).result().token_ids) == 16


@pytest.mark.parametrize("where", ["admit", "turn"])
@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit("broken")], ids=repr)
def test_where_the_worker_ends_nobody_waits_for_it(
    fp32: StepLanguageModel, where: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Event()

    def ends(*_: object) -> None:
        begin.wait(10)
        raise error

    batching = ContinuousBatching(fp32, max_batch_size=1)
    monkeypatch.setattr(batching._scheduler, where, ends)
    submissions = []
    with suppress(KerasGPTError):  # the worker may have ended by the second
        submissions = [batching.submit([1], SETTINGS[0])]
        submissions.append(batching.submit([2], SETTINGS[0]))
    begin.set()
    batching._worker.join(10)
    sentence = rf"this batch has failed \({type(error).__name__}: broken\): open another one"
    for submission in submissions:
        with pytest.raises(KerasGPTError, match=sentence) as raised:
            submission.result()
        assert raised.value.__cause__ is error
    with pytest.raises(KerasGPTError, match=sentence):
        batching.submit([3])
    batching.close()


def raises(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_bad_requests_are_refused_where_they_are_made(batching: ContinuousBatching) -> None:
    with pytest.raises(UsageError, match="id 257"):
        batching.submit([257])
    with pytest.raises(UsageError, match="one text without beams"):
        batching.submit("x", GenerationConfig(num_beams=2))
    with pytest.raises(UsageError, match="a list of prompts"):
        batching.generate("x")


@pytest.mark.parametrize(
    "words",
    [{"max_batch_size": 0}, {"prefill_tokens": -1}, {"max_batch_size": "8"}, {"prefill_tokens": 2.5}],
    ids=str,
)
def test_sizes_are_checked(fp32: StepLanguageModel, words: dict[str, Any]) -> None:
    ((name, value),) = words.items()
    with pytest.raises(UsageError, match=f"{name} is {value!r}: it must be 1 or more, an integer"):
        ContinuousBatching(fp32, **words)
    with pytest.raises(UsageError, match="this engine runs its loop inside the graph"):
        ContinuousBatching(object())
    with (
        ContinuousBatching(fp32) as running,
        pytest.raises(UsageError, match="this is a running batch already: give what it was made of"),
    ):
        ContinuousBatching(running)


def test_what_an_error_leaves_is_dropped(fp32: StepLanguageModel) -> None:
    submissions = []
    with pytest.raises(KeyboardInterrupt), ContinuousBatching(fp32, max_batch_size=1) as batching:
        submissions += [batching.submit([1], GenerationConfig(max_new_tokens=250)) for _ in range(20)]
        raise KeyboardInterrupt
    assert not batching.is_running
    assert len(submissions[-1].result().token_ids) == 0


def test_a_process_may_end_with_one_open(bundle: Path) -> None:
    program = (
        "import sys, kerasgpt; batching = kerasgpt.ContinuousBatching(kerasgpt.load(sys.argv[1]))\n"
        "settings = kerasgpt.GenerationConfig(max_new_tokens=250, min_new_tokens=250)\n"
        "texts = [batching.submit('the', settings) for _ in range(50)]\n"
        "next(iter(texts[0]))"
    )
    for _ in range(3):  # without the end of the worker two of three abort
        subprocess.run([sys.executable, "-c", program, str(bundle)], check=True, timeout=60)


def test_in_a_forked_process_nobody_waits_for_the_thread_that_is_not_there(bundle: Path) -> None:
    program = (
        "import os, sys, kerasgpt; batching = kerasgpt.ContinuousBatching(kerasgpt.load(sys.argv[1]))\n"
        "batching.generate(['the'])\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        batching.submit('the')\n"
        "    except kerasgpt.errors.KerasGPTError as error:\n"
        "        print(error, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(bundle)]
    child = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert child.stdout.strip().endswith("was forked from: open another here")


def test_settings_of_another_type_are_a_sentence(batching: ContinuousBatching) -> None:
    for ask in (batching.submit, batching.stream, batching._model.stream):
        with pytest.raises(UsageError, match="a GenerationConfig"):
            ask("a", {"temperature": 1.0})  # type: ignore[arg-type]
