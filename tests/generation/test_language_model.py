import warnings
from dataclasses import replace

import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.generation import batches, language_model
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.prompts import PromptTruncatedWarning
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import LanguageModel

PROMPTS = ["the quick brown fox", "a", "", "jumps over"]


@pytest.fixture
def lm(random_model, byte_tokenizer) -> StepLanguageModel:
    return StepLanguageModel(random_model, byte_tokenizer)


def accepts(lm: LanguageModel) -> LanguageModel:
    return lm


def test_it_is_a_language_model(lm) -> None:
    assert accepts(lm).max_sequence_length == 64


def test_generate_gives_text_without_the_prompt(writer, byte_tokenizer) -> None:
    lm = StepLanguageModel(writer("né🙂!"), byte_tokenizer)
    result = lm.generate(["Hi: "])[0]
    assert result.text == "né🙂!"
    assert result.token_ids == [*"né🙂!".encode(), 256]
    assert result.num_prompt_tokens == 4
    assert result.finish_reason == "stop"
    assert len(result.logprobs) == len(result.token_ids)
    assert all(-0.1 < logprob < 0 for logprob in result.logprobs)


def test_special_tokens_are_shown_when_asked_for(writer, byte_tokenizer) -> None:
    lm = StepLanguageModel(writer("ok"), byte_tokenizer)
    assert lm.generate(["x"], GenerationConfig(skip_special_tokens=False))[0].text == "ok<|endoftext|>"


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7])
def test_a_cut_character_becomes_a_replacement_in_both(writer, byte_tokenizer, limit: int) -> None:
    lm = StepLanguageModel(writer("né🙂"), byte_tokenizer)
    settings = GenerationConfig(max_new_tokens=limit)
    result = lm.generate(["x"], settings)[0]
    assert result.text == byte_tokenizer.decode(result.token_ids)
    assert "".join(lm.stream("x", settings)) == result.text


@pytest.mark.parametrize("seed", range(3))
def test_ids_strings_batches_and_streams_agree(lm, seed: int) -> None:
    settings = GenerationConfig(max_new_tokens=20, temperature=1.0, top_p=0.9, seed=seed)
    together = lm.generate(PROMPTS, settings)
    as_ids = lm.generate([lm.tokenizer.encode(prompt) for prompt in PROMPTS], settings)
    assert as_ids == together
    for number, prompt in enumerate(PROMPTS):
        shifted = GenerationConfig(max_new_tokens=20, temperature=1.0, top_p=0.9, seed=seed + number)
        assert lm.generate([prompt], shifted) == [together[number]]
        assert "".join(lm.stream(prompt, shifted)) == together[number].text


def test_many_prompts_are_split_without_a_trace(lm, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = GenerationConfig(max_new_tokens=5, temperature=1.0)
    prompts = ["x" * (1 + number % 7) for number in range(20)]
    whole = lm.generate(prompts, settings)
    scores = lm.score(prompts, prompts[::-1])
    monkeypatch.setattr(batches, "LOGITS_BUDGET", 257 * 9)
    assert lm.generate(prompts, settings) == whole
    assert lm.score(prompts, prompts[::-1]) == scores


def test_the_same_prompt_twice_draws_differently(lm) -> None:
    first, second = lm.generate(["same", "same"], GenerationConfig(max_new_tokens=20, temperature=1.0))
    assert first.token_ids != second.token_ids


def test_stop_strings_cut_across_tokens(writer, byte_tokenizer) -> None:
    lm = StepLanguageModel(writer("one STOX two STOP three"), byte_tokenizer)
    settings = GenerationConfig(stop=("STOP",))
    result = lm.generate(["x"], settings)[0]
    assert result.text == "one STOX two "
    assert result.finish_reason == "stop"
    assert bytes(result.token_ids) == b"one STOX two STOP"
    pieces = list(lm.stream("x", settings))
    assert "".join(pieces) == result.text
    assert not any(piece.endswith("S") for piece in pieces)


def test_a_half_stop_string_at_the_end_is_text(writer, byte_tokenizer) -> None:
    lm = StepLanguageModel(writer("one ST"), byte_tokenizer)
    assert lm.generate(["x"], GenerationConfig(stop=("STOP",)))[0].text == "one ST"
    assert "".join(lm.stream("x", GenerationConfig(stop=("STOP",)))) == "one ST"


def test_an_empty_prompt_starts_from_end_of_text(lm) -> None:
    settings = GenerationConfig(max_new_tokens=8)
    empty, explicit = lm.generate(["", [256]], settings)
    assert empty == explicit
    assert empty.num_prompt_tokens == 1
    assert lm.score([""], ["abc"]) == lm.score([[256]], ["abc"])


def test_a_long_prompt_keeps_its_end_and_says_so(lm) -> None:
    prompt = list(range(100))
    settings = GenerationConfig(max_new_tokens=10)
    with pytest.warns(PromptTruncatedWarning, match="100 tokens .* context is 64: only its last 54"):
        long = lm.generate([prompt], settings)
    assert long == lm.generate([prompt[-54:]], settings)
    assert long[0].num_prompt_tokens == 54
    assert len(long[0].token_ids) == 10


def test_prompt_and_continuation_stay_within_the_context(lm) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = lm.generate([[1] * 63], GenerationConfig(max_new_tokens=50))[0]
    assert len(result.token_ids) == 1
    assert result.finish_reason == "length"


def test_no_new_tokens_and_no_prompts(lm) -> None:
    assert lm.generate([]) == []
    assert lm.score([], []) == []
    result = lm.generate(["abc"], GenerationConfig(max_new_tokens=0))[0]
    assert (result.text, result.token_ids, result.finish_reason) == ("", [], "length")
    assert list(lm.stream("abc", GenerationConfig(max_new_tokens=0))) == []


def test_the_models_own_settings_hold_where_none_are_given(random_model, byte_tokenizer) -> None:
    lm = StepLanguageModel(random_model, byte_tokenizer, GenerationConfig(max_new_tokens=3))
    assert len(lm.generate(["x"])[0].token_ids) == 3


@pytest.mark.parametrize("index", [-1, 257, 10**9])
def test_ids_out_of_range_are_refused(lm, index: int) -> None:
    with pytest.raises(UsageError, match=f"id {index}: ids go from 0 to 256"):
        lm.generate([[1, index]])
    with pytest.raises(UsageError, match=f"id {index}"):
        lm.score(["x"], [[index]])
    with pytest.raises(UsageError, match=f"id {index}"):
        lm.stream([index])


def test_one_text_in_place_of_a_list_is_refused(lm) -> None:
    with pytest.raises(UsageError, match=r"a list of prompts is needed, .* write \['hello'\]"):
        lm.generate("hello")
    with pytest.raises(UsageError, match="a list of continuations"):
        lm.score(["x"], "y")
    with pytest.raises(UsageError, match="prompts is None: it must be a list"):
        lm.generate(None)


def test_prompts_may_come_from_an_iterator(lm) -> None:
    assert lm.generate(iter(["hello", "you"])) == lm.generate(["hello", "you"])
    assert lm.score(iter(["hello"]), iter([" you"])) == lm.score(["hello"], [" you"])


def test_a_tokenizer_of_another_model_is_refused(rule_model, byte_tokenizer) -> None:
    with pytest.raises(UsageError, match="257 ids and the model 100"):
        StepLanguageModel(rule_model(lambda ids: np.zeros(100), vocabulary_size=100), byte_tokenizer)


SAMPLED = GenerationConfig(max_new_tokens=9, temperature=1.0, seed=4)
BEAMS = GenerationConfig(max_new_tokens=9, num_beams=3)


def test_each_prompt_has_its_own_settings(lm) -> None:
    settings = [SAMPLED, BEAMS, GenerationConfig(max_new_tokens=3), replace(SAMPLED, seed=9, stop=("e",))]
    together = lm.generate(PROMPTS, settings)
    for number, (prompt, own) in enumerate(zip(PROMPTS, settings, strict=True)):
        alone = replace(own, seed=own.seed + number)
        assert lm.generate([prompt], alone) == [together[number]]
        assert "".join(lm.stream(prompt, alone)) == together[number].text
    with pytest.raises(UsageError, match="4 settings for 1 prompts"):
        lm.generate(["x"], settings)
    with pytest.raises(UsageError, match="0 settings for 1 prompts"):
        lm.generate(["x"], [])


def test_several_samples_are_those_of_a_repeated_prompt(lm) -> None:
    several = lm.generate(PROMPTS, replace(SAMPLED, num_return_sequences=3))
    assert several == lm.generate([prompt for prompt in PROMPTS for _ in range(3)], SAMPLED)
    assert len({str(each.token_ids) for each in several}) == 12


def test_several_beams_come_the_best_first(lm) -> None:
    several = lm.generate(PROMPTS, replace(BEAMS, num_return_sequences=3))
    assert several[::3] == lm.generate(PROMPTS, BEAMS)
    for number in range(0, 12, 3):
        totals = [sum(each.logprobs) for each in several[number : number + 3]]  # all of one length
        assert totals == sorted(totals, reverse=True)
        assert len({str(each.token_ids) for each in several[number : number + 3]}) == 3


def test_one_prompt_with_several_continuations_among_others(lm) -> None:
    settings = [GenerationConfig(max_new_tokens=2), replace(SAMPLED, num_return_sequences=2), BEAMS, SAMPLED]
    together = lm.generate(PROMPTS, settings)
    assert [len(each.token_ids) for each in together] == [2, 9, 9, 9, 9]
    assert together[1:3] == lm.generate([PROMPTS[1]] * 2, replace(SAMPLED, seed=5))
    assert together[3:4] == lm.generate([PROMPTS[2]], BEAMS)
    assert together[4:5] == lm.generate([PROMPTS[3]], replace(SAMPLED, seed=8))


def test_beams_are_better_than_greed(lm) -> None:
    greedy, beams = (lm.generate(PROMPTS, each) for each in (GenerationConfig(max_new_tokens=9), BEAMS))
    gains = [sum(best.logprobs) - sum(one.logprobs) for best, one in zip(beams, greedy, strict=True)]
    assert np.mean(gains) > 1  # which no single prompt is promised


def test_beams_in_small_batches_are_the_same(lm, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(BEAMS, num_return_sequences=2)
    whole = lm.generate(PROMPTS, settings)
    monkeypatch.setattr(language_model, "LARGEST_BATCH", 7)
    assert lm.generate(PROMPTS, settings) == whole


def test_beams_end_at_stop_strings(writer, byte_tokenizer) -> None:
    lm = StepLanguageModel(writer("one STOX two STOP three"), byte_tokenizer)
    result = lm.generate(["x"], GenerationConfig(stop=("STOP",), num_beams=2))[0]
    assert (result.text, result.finish_reason) == ("one STOX two ", "stop")
    assert bytes(result.token_ids) == b"one STOX two STOP"


def test_a_stream_is_one_text(lm) -> None:
    with pytest.raises(UsageError, match="num_return_sequences 2: a stream is one text"):
        lm.stream("x", replace(SAMPLED, num_return_sequences=2))


@pytest.mark.parametrize("settings", [SAMPLED, BEAMS], ids=["sampled", "beams"])
def test_an_echo_is_the_prompt_before_the_continuation(lm, settings: GenerationConfig) -> None:
    plain, echoed = lm.generate(PROMPTS, settings), lm.generate(PROMPTS, replace(settings, echo=True))
    for prompt, without, with_prompt in zip(PROMPTS, plain, echoed, strict=True):
        ids = lm.tokenizer.encode(prompt) or [256]
        assert with_prompt.text == prompt + without.text
        assert with_prompt.token_ids == ids + without.token_ids
        assert with_prompt.logprobs[0] is None
        assert with_prompt.logprobs[len(ids) :] == without.logprobs
        assert with_prompt.num_prompt_tokens == without.num_prompt_tokens == len(ids)
        total = lm.score([ids[:1]], [ids[1:]])[0].logprob
        assert sum(with_prompt.logprobs[1 : len(ids)]) == pytest.approx(total, abs=1e-4)
    pieces = lm.stream(PROMPTS[0], replace(settings, echo=True))
    assert "".join(pieces) == echoed[0].text


def test_an_echo_alone_scores_the_prompt(lm) -> None:
    result = lm.generate(["abc"], GenerationConfig(max_new_tokens=0, echo=True))[0]
    assert (result.text, bytes(result.token_ids), len(result.logprobs)) == ("abc", b"abc", 3)


@pytest.mark.parametrize(
    "words", [{"bad_words_ids": ((3, 257),)}, {"allowed_token_ids": (-1,)}, {"logit_bias": {300: 1.0}}]
)
def test_settings_that_name_unknown_ids_are_refused(lm, words: dict) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(words))} holds id -?\d+: ids go from 0 to 256"):
        lm.generate(["x"], GenerationConfig(**words))


def test_allowed_tokens_are_all_that_is_written(lm) -> None:
    result = lm.generate(["x"], GenerationConfig(max_new_tokens=8, allowed_token_ids=tuple(b"abc")))[0]
    assert set(result.text) <= set("abc")
    assert len(result.text) == 8
