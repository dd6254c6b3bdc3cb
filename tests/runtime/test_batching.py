"""Requests that come and go in one batch have the texts that they have alone."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from kerasgpt import artifacts
from kerasgpt.errors import UsageError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Generation, LanguageModel
from kerasgpt.runtime.batching import ContinuousBatching
from kerasgpt.runtime.language_model import open_bundle, open_file

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


def test_bad_requests_are_refused_where_they_are_made(batching: ContinuousBatching) -> None:
    with pytest.raises(UsageError, match="id 257"):
        batching.submit([257])
    with pytest.raises(UsageError, match="one text without beams"):
        batching.submit("x", GenerationConfig(num_beams=2))
    with pytest.raises(UsageError, match="a list of prompts"):
        batching.generate("x")


@pytest.mark.parametrize("words", [{"max_batch_size": 0}, {"prefill_tokens": -1}], ids=str)
def test_sizes_are_checked(fp32: StepLanguageModel, words: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(words))} is -?\d: it must be 1 or more"):
        ContinuousBatching(fp32, **words)
    with pytest.raises(UsageError, match="this engine runs its loop inside the graph"):
        ContinuousBatching(object())
