"""The tables give the kinds that `tokenizers` sees, and are small."""

import numpy as np

from kerasgpt.in_graph.characters import (
    END,
    END_CHARACTER,
    LETTER,
    NUMBER,
    OTHER,
    SPACE,
    character_kinds,
    kind_pages,
)


def test_known_characters():
    known = {"a": LETTER, "漢": LETTER, "ª": LETTER, "1": NUMBER, "²": NUMBER, "Ⅷ": NUMBER, "١": NUMBER}
    known |= {" ": SPACE, "\n": SPACE, "\u00a0": SPACE, "\u3000": SPACE, "\x85": SPACE}
    known |= {"!": OTHER, "'": OTHER, "_": OTHER, "🙂": OTHER, "\u0301": OTHER, "\u200b": OTHER, "\0": OTHER}
    assert {character: character_kinds()[ord(character)] for character in known} == known


def test_the_pages_hold_the_kind_of_every_code_point():
    starts, pages = kind_pages()
    points = np.arange(END_CHARACTER)
    assert np.array_equal(pages[starts[points // 256] + points % 256], character_kinds())
    assert pages[starts[END_CHARACTER // 256] + END_CHARACTER % 256] == END
    assert np.all(character_kinds() <= OTHER)


def test_the_pages_are_small():
    assert sum(table.nbytes for table in kind_pages()) < 200_000
