import numpy as np

from kerasgpt.generation.texts import Text, Texts, pad_right


def test_pad_right() -> None:
    ids, lengths = pad_right([[1, 2, 3], [4]])
    assert ids.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert lengths.tolist() == [3, 1]


def test_text_and_continuation() -> None:
    text = Text(np.array([1, 2, 3]), num_prompt_tokens=2)
    assert text.continuation.tolist() == [3]


def test_rows_grow_each_at_its_end() -> None:
    texts = Texts([[1, 2, 3], [4], [5, 6]], num_new_tokens=3)
    texts.append(np.array([0, 2]), np.array([10, 11]))
    texts.append(np.array([2, 1]), np.array([12, 13]))
    texts.append(np.array([2]), np.array([14]))
    found = texts.of_rows(np.array([2, 0, 1]))
    assert [text.ids.tolist() for text in found] == [[5, 6, 11, 12, 14], [1, 2, 3, 10], [4, 13]]
    assert [text.continuation.tolist() for text in found] == [[11, 12, 14], [10], [13]]
