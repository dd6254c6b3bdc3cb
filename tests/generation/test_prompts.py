import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.generation.prompts import PromptReader, PromptTruncatedWarning


@pytest.fixture
def reader(byte_tokenizer) -> PromptReader:
    return PromptReader(byte_tokenizer, 300, 20)


def test_texts_and_ids(reader) -> None:
    assert reader.ids("né") == list("né".encode())
    assert reader.ids(np.array([1, 299])) == [1, 299]
    for wrong in (-1, 300):
        with pytest.raises(UsageError, match=f"the prompt holds id {wrong}: ids go from 0 to 299"):
            reader.ids([5, wrong])


@pytest.mark.parametrize("wrong", [b"hello", bytearray(b"hello"), 5, None, [1.5], ["a"], {"a": 1}], ids=str)
def test_what_is_neither_a_text_nor_ids_is_refused(reader, wrong) -> None:
    with pytest.raises(UsageError, match=r"the prompt is .*: it must be (a text \(str\) or|an id,)"):
        reader.ids(wrong)


def test_an_empty_prompt_is_end_of_text(reader) -> None:
    assert reader.fitted("", 5) == [256]
    assert reader.pair([], "ab") == ([256], [97, 98])


def test_what_does_not_fit_is_cut_off_and_said(reader) -> None:
    assert reader.fitted(range(19), 5) == list(range(19))
    with pytest.warns(PromptTruncatedWarning, match="20 tokens .* context is 20: only its last 15 are read"):
        assert reader.fitted(range(20), 5) == list(range(5, 20))
    assert reader.pair(range(18), [1, 2, 3]) == (list(range(18)), [1, 2, 3])
    with pytest.warns(PromptTruncatedWarning, match="only its last 18"):
        assert reader.pair(range(19), [1, 2, 3])[0] == list(range(1, 19))
    with pytest.raises(UsageError, match="21 tokens, more than the model's context of 20"):
        reader.pair("x", [0] * 21)


def test_the_tokenizer_must_belong_to_the_model(byte_tokenizer) -> None:
    with pytest.raises(UsageError, match="257 ids and the model 256"):
        PromptReader(byte_tokenizer, 256, 20)
