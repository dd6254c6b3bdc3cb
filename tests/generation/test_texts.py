import numpy as np

from kerasgpt.generation.texts import Text, pad_right


def test_pad_right() -> None:
    ids, lengths = pad_right([[1, 2, 3], [4]])
    assert ids.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert lengths.tolist() == [3, 1]


def test_text_and_continuation() -> None:
    text = Text(np.array([1, 2, 3]), num_prompt_tokens=2)
    assert text.continuation.tolist() == [3]
