"""What is read once gives what reading it again gives."""

import numpy as np
import pytest

from kerasgpt.generation.prefill import Prefill, shared_beginnings
from kerasgpt.generation.prefix_cache import PrefixCache
from kerasgpt.generation_config import GenerationConfig

GENERATOR = np.random.default_rng(1)
SYSTEM, OTHER = (GENERATOR.integers(0, 250, length).tolist() for length in (150, 90))
ENDS = [GENERATOR.integers(0, 250, length).tolist() for length in (5, 1, 40)]


def expected(model, prompts: list[list[int]]) -> np.ndarray:
    return np.stack([model.rule(prompt) for prompt in prompts]).astype(np.float32)


@pytest.mark.parametrize("num_tokens", [0, 100, 10_000])
def test_logits_and_state_are_those_of_the_whole_prompt(extendable, num_tokens: int) -> None:
    prefill = Prefill(extendable, PrefixCache(num_tokens) if num_tokens else None)
    calls = [
        [SYSTEM + ENDS[0]],
        [SYSTEM + end for end in ENDS] + [OTHER],
        [OTHER + ENDS[0], ENDS[1], OTHER + ENDS[0], SYSTEM, OTHER + ENDS[2]],
        [SYSTEM + ENDS[0] + ENDS[2] * 3],
        [ENDS[2], ENDS[2]],
    ]
    for prompts in calls * 2:
        state, logits = prefill.read(prompts)
        assert state == prompts
        np.testing.assert_array_equal(logits, expected(extendable, prompts))


def test_a_shared_beginning_is_read_once_in_a_call(extendable) -> None:
    Prefill(extendable).read([SYSTEM + end for end in ENDS] + [ENDS[2]])
    # 144 of the 150 tokens are whole blocks; the other 6 are read with each end.
    assert extendable.num_read == 144 + 3 * 6 + sum(map(len, ENDS)) + len(ENDS[2])


def test_a_remembered_beginning_is_not_read_again(extendable) -> None:
    prefill = Prefill(extendable, PrefixCache(1000))
    for number, end in enumerate(ENDS):
        extendable.num_read = 0
        prefill.read([SYSTEM + end])
        assert extendable.num_read == (6 if number else 150) + len(end)
    extendable.num_read = 0
    prefill.read([SYSTEM + ENDS[1], [3, 4], SYSTEM + ENDS[2], SYSTEM + ENDS[1]])
    assert extendable.num_read == 7 + 2 + 46


def test_a_growing_chat_is_read_from_where_it_was(extendable) -> None:
    prefill, chat = Prefill(extendable, PrefixCache(2000)), []
    for turn in range(5):
        chat = chat + GENERATOR.integers(0, 250, 100).tolist()
        extendable.num_read = 0
        _, logits = prefill.read([chat])
        np.testing.assert_array_equal(logits, expected(extendable, [chat]))
        assert extendable.num_read <= (100 if not turn else 115)


@pytest.mark.parametrize("size", [1, 16, 70, 1000])
@pytest.mark.parametrize("is_cached", [False, True])
def test_pieces_are_the_whole(extendable, size: int, is_cached: bool) -> None:
    prefill = Prefill(extendable, PrefixCache(1000))
    if is_cached:
        prefill.read([SYSTEM])
    extendable.num_read = 0
    prompt = SYSTEM + ENDS[2]
    *unfinished, (state, logits) = prefill.pieces(prompt, size)
    assert state == [prompt]
    np.testing.assert_array_equal(logits, expected(extendable, [prompt]))
    assert extendable.num_read == (46 if is_cached else 190)
    blocks = max(size // 16 * 16, 16)
    assert unfinished == [None] * ((extendable.num_read - 1) // blocks)
    extendable.num_read = 0
    prefill.read([prompt])
    # Of 190 there are 176 in whole blocks, too few more than 144 to be remembered for themselves.
    assert extendable.num_read == (46 if is_cached else 14)


def test_an_engine_that_does_not_extend_reads_all_at_once(random_model) -> None:
    prefill = Prefill(random_model, PrefixCache(1000))
    ((state, logits),) = prefill.pieces(SYSTEM[:60], 16)
    assert state == [SYSTEM[:60]]
    np.testing.assert_array_equal(logits, expected(random_model, [SYSTEM[:60]]))


def test_groups_are_those_that_begin_alike() -> None:
    prompts = [SYSTEM + ENDS[0], OTHER, ENDS[0], SYSTEM + ENDS[1], OTHER + ENDS[2], SYSTEM[:100], SYSTEM[:63]]
    groups = shared_beginnings([np.array(prompt) for prompt in prompts])
    assert sorted((sorted(members), length) for members, length in groups) == [([0, 3, 5], 96), ([1, 4], 80)]
    assert shared_beginnings([]) == []


@pytest.mark.parametrize("stray", [0, 251])  # before and after the others in their order
def test_a_short_relative_does_not_spoil_a_group(stray: int) -> None:
    first, second = ([*SYSTEM, *OTHER, number, 5] for number in (1, 2))
    relative = [*SYSTEM[:70], stray, 5]
    found = shared_beginnings([np.array(prompt) for prompt in (first, relative, second)])
    assert [(sorted(members), length) for members, length in found] == [([0, 2], 240)]
    relatives = [[*SYSTEM[:70], stray, number] for number in range(5)]
    found = shared_beginnings([np.array(prompt) for prompt in (first, *relatives, second)])
    assert sorted((sorted(members), length) for members, length in found) == [
        ([0, 6], 240),
        ([1, 2, 3, 4, 5], 64),
    ]


def test_a_group_is_cut_where_that_saves_more() -> None:
    pair = [[*SYSTEM[:100], number] for number in (1, 2)]
    others = [[*SYSTEM[:90], 251, number] for number in (1, 2)]
    found = shared_beginnings([np.array(prompt) for prompt in (*pair, *others)])
    assert [(sorted(members), length) for members, length in found] == [([0, 1, 2, 3], 80)]  # not 96 and 80


def test_a_prompt_that_cannot_be_remembered_is_not_copied(extendable, monkeypatch) -> None:
    prefill = Prefill(extendable, PrefixCache(100))
    prefill.read([OTHER])
    monkeypatch.setattr(extendable, "snapshot", lambda *_: pytest.fail("a copy"))
    prefill.read([SYSTEM])
    extendable.num_read = 0
    prefill.read([[*OTHER, 3]])
    assert extendable.num_read == 11


def test_the_loops_read_through_it(extendable, byte_tokenizer) -> None:
    from kerasgpt.generation.language_model import StepLanguageModel

    plain = StepLanguageModel(extendable, byte_tokenizer)
    cached = StepLanguageModel(extendable, byte_tokenizer, prefix_cache_tokens=1000)
    for settings in (
        GenerationConfig(max_new_tokens=6),
        GenerationConfig(max_new_tokens=6, num_beams=2),
        GenerationConfig(max_new_tokens=6, prompt_lookup_num_tokens=3),
    ):
        cached.generate([SYSTEM], settings)
        extendable.num_read = 0
        found = cached.generate([SYSTEM + ENDS[0]], settings)
        assert extendable.num_read < 60  # drafts are counted too
        assert found == plain.generate([SYSTEM + ENDS[0]], settings)
