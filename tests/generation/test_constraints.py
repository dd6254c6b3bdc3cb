from collections.abc import Sequence

import numpy as np
import pytest

from kerasgpt.generation import constraints

SIZE = 5
LOGITS = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)


def removed(logits: np.ndarray) -> set[int]:
    assert logits.dtype == np.float32
    gone = set(np.flatnonzero(logits == -np.inf).tolist())
    assert all(logits[token] == LOGITS[token] for token in range(SIZE) if token not in gone)
    return gone


def occurrences(text: Sequence[int], part: Sequence[int]) -> int:
    return sum(list(text[n : n + len(part)]) == list(part) for n in range(len(text) - len(part) + 1))


def texts(count: int = 40) -> list[np.ndarray]:
    """Short texts over few tokens, so that all is repeated."""
    generator = np.random.default_rng(5)
    return [generator.integers(0, SIZE, length) for length in range(1, count)]


def test_forbid_and_allow() -> None:
    assert removed(constraints.forbid(LOGITS, [1, 4])) == {1, 4}
    assert removed(constraints.forbid(LOGITS, [])) == set()
    assert removed(constraints.allow(LOGITS, (0, 2, 2))) == {1, 3, 4}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_no_ngram_comes_twice(size: int) -> None:
    for text in texts():
        expected = set()
        for token in range(SIZE):
            longer = [*text.tolist(), token]
            if len(longer) > size and occurrences(longer, longer[-size:]) > 1:
                expected.add(token)
        assert removed(constraints.forbid_repeated_ngrams(LOGITS, text, size)) == expected


WORDS = [(3,), (0, 1), (2, 2), (1, 0, 4), (4, 3, 2, 1), (0, 0, 0, 0, 0, 0)]


def test_no_bad_word_is_completed() -> None:
    for text in texts(60):
        expected = set()
        for token in range(SIZE):
            longer = (*text.tolist(), token)
            if any(longer[-len(word) :] == word for word in WORDS):
                expected.add(token)
        assert removed(constraints.forbid_words(LOGITS, text, WORDS)) == expected


def test_a_word_as_long_as_text_and_token_is_forbidden() -> None:
    assert removed(constraints.forbid_words(LOGITS, np.array([2, 0]), [(2, 0, 3), (9, 2, 0, 1)])) == {3}


def test_nothing_is_changed_in_place() -> None:
    before = LOGITS.copy()
    text = np.array([0, 1, 0])
    constraints.forbid(LOGITS, [1])
    constraints.allow(LOGITS, [1])
    constraints.forbid_words(LOGITS, text, WORDS)
    constraints.forbid_repeated_ngrams(LOGITS, text, 2)
    np.testing.assert_array_equal(LOGITS, before)
