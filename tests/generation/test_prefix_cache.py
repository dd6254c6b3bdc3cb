import numpy as np
import pytest

from kerasgpt.generation.prefix_cache import BLOCK_TOKENS, SHORTEST_PREFIX, PrefixCache, num_shared

TEXT = np.random.default_rng(0).integers(0, 250, 300).tolist()
NOTHING = (0, None, 0)


def test_the_longest_beginning_is_found_in_whole_blocks() -> None:
    cache = PrefixCache(1000)
    assert cache.longest(TEXT) == NOTHING
    cache.store([*TEXT[:70], *[251] * 60], "short")
    cache.store([*TEXT[:120], *[252] * 60], "long")
    assert cache.num_tokens == 128 + 176
    assert cache.longest(TEXT) == (112, "long", 176)
    assert cache.longest([*TEXT[:70], 251]) == (64, "short", 128)
    assert cache.longest([*TEXT[:70], *[251] * 60])[:2] == (128, "short")
    assert cache.longest([*TEXT[:70], *[251] * 58])[:2] == (112, "short")  # one token at least is left


def test_a_short_beginning_is_not_worth_it() -> None:
    cache = PrefixCache(1000)
    cache.store([*TEXT[: SHORTEST_PREFIX + BLOCK_TOKENS]], "state")
    assert cache.longest([*TEXT[: SHORTEST_PREFIX - 1], *[251] * 90]) == NOTHING
    assert cache.longest([*TEXT[:SHORTEST_PREFIX], *[251] * 90])[:2] == (SHORTEST_PREFIX, "state")


def test_what_goes_on_from_an_entry_replaces_it() -> None:
    cache = PrefixCache(1000)
    cache.store(TEXT[:100], "turn 1")
    cache.store(TEXT[:200], "turn 2")
    assert cache.num_tokens == 192
    assert cache.longest(TEXT) == (192, "turn 2", 192)


def test_what_was_not_asked_for_longest_goes_first() -> None:
    cache = PrefixCache(300)
    texts = [[number] * 100 for number in range(4)]
    for number, text in enumerate(texts[:3]):
        cache.store(text, number)
    assert cache.num_tokens == 288
    assert cache.longest([*texts[0], 9])[1] == 0
    cache.store(texts[3], 3)
    assert [cache.longest([*text, 9])[1] for text in texts] == [0, None, 2, 3]
    cache.store(TEXT, "longer than all of it")  # 288 blocks
    assert cache.num_tokens == 288
    cache.store([251] * 400, "too long")
    assert cache.longest([*TEXT, 9])[1] == "longer than all of it"
    assert (cache.has_room(300), cache.has_room(301)) == (True, False)


@pytest.mark.parametrize("first", [[], [1], [1, 2], [2, 2], [1, 2, 3, 4]], ids=str)
def test_num_shared(first: list[int]) -> None:
    second = [1, 2, 3]
    expected = next(
        (n for n, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None
    )
    shorter = min(len(first), len(second))
    assert num_shared(np.array(first), np.array(second)) == (shorter if expected is None else expected)
