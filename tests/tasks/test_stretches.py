import numpy as np
import pytest

from kerasgpt.tasks.files.documents import Document
from kerasgpt.tasks.stretches import split, stretches
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

TEXT = "Ein Mann, né en été: 🙂 and then some more plain text to score."


class Bytes:
    """As much of a language model as is asked for."""

    tokenizer = Tokenizer(learned_vocabulary([]), [])
    max_sequence_length = 8


@pytest.mark.parametrize("window", [1, 2, 5, 8])
def test_after_the_first_window_each_token_has_its_context(window: int) -> None:
    stride = max(window // 2, 1)
    for before, scored in list(split(range(40), window, stride))[1:-1]:
        assert len(before) + len(scored) - 1 == window
        assert len(scored) == stride


def test_steps_have_each_token_once_and_exactly_what_the_text_has():
    document = Document(TEXT, "a.txt", num_words=13, num_line_ends=2)
    found = stretches(document, Bytes(), 8, 3)
    scored = np.concatenate([part.scored for one in found for part in one.parts])
    assert bytes(scored.tolist()) == TEXT.encode()
    sums = {name: sum(one.counts[name] for one in found) for name in found[0].counts}
    assert sums == {"bytes": len(TEXT.encode()), "characters": len(TEXT), "words": 13, "line_ends": 2}
    assert [one.num_tokens for one in found][:3] == [8, 3, 3]
    assert found[1].place == "a.txt, step 2"
    assert found[0].parts[0].before.tolist() == [256]


def test_a_whole_document_is_one_stretch():
    document = Document(TEXT, "a.txt", num_words=13)
    (found,) = stretches(document, Bytes(), 8, 3, whole=True)
    assert found.place == "a.txt"
    assert found.num_tokens == found.counts["bytes"] == len(TEXT.encode())
    assert len(found.parts) == len(stretches(document, Bytes(), 8, 3))
