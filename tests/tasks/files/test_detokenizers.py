"""What is put together can be taken apart again, whatever it is."""

import numpy as np
import pytest

from kerasgpt.tasks.files.detokenizers import DETOKENIZERS, PennTreebank, WikiText

# Lines in the two files' manner, with what each detokenizer stumbles over.
WIKI = (
    " \n = A Title = \n \n = = Its Part = = \n \n"
    ' He had a guest @-@ starring role in " The Bill " , in 2 @,@ 000 and 1 @.@ 5 ( or so ) ; " ended . " \n'
    " The players ' bus , Mr. Smith 's , and J. R. Ewing Jr. went to No. 5 , Fifth Ave . \n"
    " A token with a dot. inside , a bare-hyphen one , 3.5 and 1,000 , and a U.S. one . \n"
    " two  blanks and\ttab \nno blanks at the ends\n half \n"
    ' an odd " quote , 50 % of $ 5 [ sic ] ... and .. dots @.@ @-@ \n'
    "  \n\n   leading ones \n == = \n it 's , don 't , we 've \n"
)
PTB = " no it was n't <unk> 's $ N million N % of the players ' u.s. mr. s' \n\n a%b $ \n x\n"


@pytest.mark.parametrize(("name", "text"), [("wikitext", WIKI), ("ptb", PTB)])
def test_it_is_inverted_exactly(name: str, text: str) -> None:
    detokenizer = DETOKENIZERS[name]
    whole = detokenizer.detokenize(text)
    assert detokenizer.tokenize(whole) == text
    assert len(whole) < len(text)


@pytest.mark.parametrize("name", DETOKENIZERS)
@pytest.mark.parametrize("seed", range(5))
def test_any_text_is_inverted(name: str, seed: int) -> None:
    pieces = [
        *" \n\"'.,;:!?()[]%$#=-@sSt19",
        " ",
        " ",
        "n't",
        "'s",
        " @-@ ",
        " @,@ ",
        "Mr.",
        "word",
        "é",
        "  ",
    ]
    text = "".join(np.random.default_rng(seed).choice(pieces, 3000))
    detokenizer = DETOKENIZERS[name]
    assert detokenizer.tokenize(detokenizer.detokenize(text)) == text


def test_wikitext_reads_as_it_was_written() -> None:
    lines = WikiText().detokenize(WIKI).split("\n")
    assert lines[:5] == ["", "= A Title =", "", "== Its Part ==", ""]
    assert lines[5] == 'He had a guest-starring role in "The Bill", in 2,000 and 1.5 (or so); "ended."'
    assert lines[6] == "The players' bus, Mr. Smith's, and J. R. Ewing Jr. went to No. 5, Fifth Ave ."


def test_the_treebank_reads_as_it_was_written() -> None:
    first = PennTreebank().detokenize(PTB).split("\n")[0]
    assert first.startswith("no it wasn't <unk>'s $N million N% of the players' u.s. mr. s'")


def test_an_article_begins_with_its_title() -> None:
    text = " \n = One = \n \n text \n = = Part = = \n \n = Two = \n more \n"
    parts = WikiText().documents(text)
    assert "".join(parts) == text
    assert parts == [" \n = One = \n \n text \n = = Part = = \n \n", " = Two = \n more \n"]
    assert PennTreebank().documents(text) == [text]
