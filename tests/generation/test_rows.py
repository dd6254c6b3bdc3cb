import numpy as np
import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.probabilities import log_softmax
from kerasgpt.generation.rows import Row, Token, Writer
from kerasgpt.generation_config import GenerationConfig

LOGITS = np.random.default_rng(0).normal(0, 3, (3, 20)).astype(np.float32)


def row(number: int, **settings: float) -> Row:
    return Row(number, [1, 2, 3], GenerationConfig(**settings), seed=0, context=10)


def test_a_row_grows_within_its_limit_and_the_context() -> None:
    short, long, none = row(0, max_new_tokens=2), row(1), row(2, max_new_tokens=0)
    assert (short.limit, long.limit, none.limit) == (2, 7, 0)
    long.append(9)
    long.append(8)
    assert (long.newest, long.num_written) == (8, 2)
    assert long.text.ids.tolist() == [1, 2, 3, 9, 8]
    assert long.text.continuation.tolist() == [9, 8]


def test_each_row_gets_a_token_and_some_end_with_it() -> None:
    rows = [row(5), row(6, max_new_tokens=1), row(7), row(8)]
    logits = np.concatenate([LOGITS, LOGITS[:1]])
    best = LOGITS.argmax(axis=1).tolist()
    assert len(set(best)) == 3
    told = []

    def ends(number: int, index: int) -> bool:
        told.append((number, index))
        return number == 8

    tokens, going = Writer(rows, end_of_text_id=best[2], ends_text=ends).write(logits)
    logprobs = log_softmax(logits)
    expected = [(5, best[0], None), (6, best[1], "length"), (7, best[2], "stop"), (8, best[0], "stop")]
    assert tokens == [
        Token(number, index, pytest.approx(logprobs[place, index]), reason)
        for place, (number, index, reason) in enumerate(expected)
    ]
    assert going == [0]
    assert told == [(number, index) for number, index, _ in expected]
    assert [own.newest for own in rows] == [index for _, index, _ in expected]


def test_a_row_that_cannot_go_on_fails_alone() -> None:
    rows = [row(5), row(6), row(7)]
    object.__setattr__(rows[1].settings, "logit_bias", {99: 1.0})  # not in the vocabulary

    def ends(number: int, _: int) -> bool:
        return bool(1 // (number - 7))

    failed: dict[int, Exception] = {}
    tokens, going = Writer(rows, 0, ends, failed.__setitem__).write(LOGITS)
    assert [(token.row, token.id) for token in tokens] == [(5, LOGITS[0].argmax())]
    assert {number: type(error) for number, error in failed.items()} == {6: IndexError, 7: ZeroDivisionError}
    assert (going, tokens[0].finish_reason) == ([], "stop")
    with pytest.raises(IndexError):
        Writer(rows, 0, ends).write(LOGITS)
    with pytest.raises(ZeroDivisionError):
        Writer(rows[2:], 0, ends).write(LOGITS[2:])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 1.0}, {"temperature": 1.0, "min_p": 0.1}, {"temperature": 1.0, "top_k": 3}],
)
def test_logits_that_are_no_numbers_are_a_sentence(value: float, settings: dict[str, float]) -> None:
    logits = LOGITS.copy()
    logits[1, 7] = value
    rows = [row(number, **settings) for number in range(3)]
    with pytest.raises(KerasGPTError, match="logits are not finite"):
        Writer(rows, 0).write(logits)
    failed: dict[int, Exception] = {}
    rows = [row(number, **settings) for number in range(3)]
    tokens, _ = Writer(rows, 0, fails=failed.__setitem__).write(logits)
    assert [token.row for token in tokens] == [0, 2]
    assert {number: type(error) for number, error in failed.items()} == {1: KerasGPTError}
