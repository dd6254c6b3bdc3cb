import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.pairs import encode_pair, fit, score_pairs
from kerasgpt.tokenizer.bpe import Tokenizer


class Words:
    """As much of a language model as is asked for, with GPT-2's vocabulary."""

    tokenizer = Tokenizer.from_preset("gpt2")
    max_sequence_length = 20


def test_blanks_before_the_answer_belong_to_it() -> None:
    encode = Words.tokenizer.encode
    for prompt, rest in [("To be or", " not"), ("To be or ", "not"), ("To be or", " not")]:
        pair = encode_pair(Words(), prompt, rest, "here")
        assert (pair.prompt, pair.rest) == (encode("To be or"), encode(" not"))


def test_the_two_are_encoded_as_one() -> None:
    encode = Words.tokenizer.encode
    pair = encode_pair(Words(), "It is 20", "24 now", "here")
    assert encode("It is 2024 now") != encode("It is 20") + encode("24 now")
    assert pair.prompt == encode("It is 20")
    assert pair.rest == encode("It is 2024 now")[len(pair.prompt) :]


def test_an_answer_that_would_become_part_of_the_last_token_is_encoded_apart() -> None:
    encode = Words.tokenizer.encode
    assert len(encode("the cats")) == len(encode("the cat"))
    pair = encode_pair(Words(), "the cat", "s", "here")
    assert (pair.prompt, pair.rest) == (encode("the cat"), encode("s"))


def test_nothing_before_is_the_end_of_text() -> None:
    pair = encode_pair(Words(), "", "Hello", "here")
    assert (pair.prompt, pair.rest) == ([50256], [15496])


def test_the_beginning_gives_way_and_the_last_token_needs_no_room() -> None:
    assert fit([1, 2, 3], [4, 5], 4, "here").prompt == [1, 2, 3]
    cut = fit([1, 2, 3, 4], [5, 6], 4, "here")
    assert (cut.prompt, cut.rest, cut.is_truncated) == ([2, 3, 4], [5, 6], True)
    assert fit([1, 2], [3, 4, 5, 6], 4, "here").prompt == [2]


def test_an_answer_longer_than_the_context_is_named() -> None:
    with pytest.raises(
        KerasGPTError, match="a.jsonl, line 3: has 5 tokens to score, and the model's context"
    ):
        fit([1], [2] * 5, 4, "a.jsonl, line 3")


def test_scores_come_in_order(byte_model) -> None:
    lm = byte_model()
    pairs = [encode_pair(lm, "ab", rest, "here") for rest in ("c", "de")]
    first, second = score_pairs(lm, pairs)
    assert first.logprob == pytest.approx(lm.logprobs([97, 98])[99])
    assert second.num_tokens == 2
