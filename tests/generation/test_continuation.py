import pytest

from kerasgpt.generation.beam_search import Hypothesis
from kerasgpt.generation.continuation import Continuation
from kerasgpt.generation_config import GenerationConfig


def write(text: Continuation, data: bytes, reason=None) -> list[bool]:
    ended = []
    for number, index in enumerate(data):
        ended.append(text.push(index))
        text.record(index, -1.0, reason if number + 1 == len(data) else None)
    return ended


def test_pieces_split_no_character_and_are_given_once(byte_tokenizer) -> None:
    text = Continuation(byte_tokenizer, GenerationConfig(), [65])
    write(text, "é".encode()[:1])
    assert list(text.released()) == []
    write(text, "é".encode()[1:] + b"x", "length")
    assert list(text.released()) == ["é", "x"]
    assert list(text.released()) == []
    generation = text.finish()
    assert (generation.text, generation.finish_reason, generation.num_prompt_tokens) == ("éx", "length", 1)
    assert generation.token_ids == list("éx".encode())
    assert generation.logprobs == [-1.0] * 3


def test_a_stop_string_ends_it_whatever_is_recorded(byte_tokenizer) -> None:
    text = Continuation(byte_tokenizer, GenerationConfig(stop=("END",)), [65])
    assert write(text, b"a EN") == [False] * 4
    assert list(text.released()) == ["a", " "]
    assert write(text, b"D", "length") == [True]
    generation = text.finish()
    assert (generation.text, generation.finish_reason) == ("a ", "stop")


def test_an_echo_comes_first_and_ends_nothing(byte_tokenizer) -> None:
    prompt = list(b"the END")
    text = Continuation(byte_tokenizer, GenerationConfig(stop=("END",)), prompt, [None, *[-2.0] * 6])
    write(text, b"!", "length")
    generation = text.finish()
    assert generation.text == "the END!"
    assert bytes(generation.token_ids) == b"the END!"
    assert generation.logprobs == [None, *[-2.0] * 6, -1.0]
    assert (generation.num_prompt_tokens, generation.finish_reason) == (7, "length")


@pytest.mark.parametrize("cut", range(5))
@pytest.mark.parametrize("written", ["é🙂".encode(), b"x"], ids=["rest", "other"])
def test_an_echoed_prompt_may_end_inside_a_character(byte_tokenizer, cut, written) -> None:
    prompt = ["a🙂".encode()[: 1 + cut], "a🙂".encode()[1 + cut :]]
    text = Continuation(byte_tokenizer, GenerationConfig(echo=True), prompt[0], [-1.0] * len(prompt[0]))
    write(text, prompt[1] + written, "length")
    assert text.finish().text == "a🙂" + written.decode()
    text = Continuation(byte_tokenizer, GenerationConfig(echo=True), prompt[0], [-1.0] * len(prompt[0]))
    write(text, written, "length")
    assert "".join(text.released()) == (prompt[0] + written).decode(errors="replace")


def test_a_hypothesis_is_taken_whole(byte_tokenizer) -> None:
    text = Continuation(byte_tokenizer, GenerationConfig(), [65])
    text.take(Hypothesis([*b"ok", 256], [-1.0, -2.0, -3.0], -2.0, "stop"))
    generation = text.finish()
    assert (generation.text, generation.finish_reason) == ("ok", "stop")
    assert generation.token_ids == [*b"ok", 256]
    assert generation.logprobs == [-1.0, -2.0, -3.0]


def test_nothing_written_is_at_its_limit(byte_tokenizer) -> None:
    generation = Continuation(byte_tokenizer, GenerationConfig(), [65]).finish()
    assert (generation.text, generation.token_ids, generation.finish_reason) == ("", [], "length")
