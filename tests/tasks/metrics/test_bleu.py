import random

import pytest
from sacrebleu.metrics import BLEU, CHRF

from kerasgpt.tasks.base import Outcome, totals
from kerasgpt.tasks.metrics.bleu import bleu_counts, bleu_figures

WORDS = [
    "ein",
    "eine",
    "der",
    "Hund",
    "Katze",
    "läuft",
    "schläft",
    "im",
    "Park,",
    "schnell.",
    "zwei",
    "Männer",
    "3,5",
    "l",
]


def _corpus(num_sentences, num_references):
    generator = random.Random(num_references)
    sentence = lambda: " ".join(generator.choices(WORDS, k=generator.randint(1, 12)))  # noqa: E731 (short)
    return [(sentence(), [sentence() for _ in range(num_references)]) for _ in range(num_sentences)]


@pytest.mark.parametrize("num_references", [1, 3])
def test_sums_of_counts_give_sacrebleus_corpus_scores(num_references):
    corpus = _corpus(60, num_references)
    figures = bleu_figures(totals(Outcome(bleu_counts(*pair)) for pair in corpus))
    texts = [text for text, _ in corpus]
    streams = [list(stream) for stream in zip(*(references for _, references in corpus), strict=True)]
    assert figures["bleu"] == pytest.approx(BLEU().corpus_score(texts, streams).score, abs=1e-9)
    assert figures["chrf"] == pytest.approx(CHRF().corpus_score(texts, streams).score, abs=1e-9)
    assert 1 < figures["bleu"] < figures["chrf"] < 99


def test_the_best_and_the_emptiest():
    assert bleu_figures(bleu_counts("Ein Hund läuft im Park.", ["Ein Hund läuft im Park."])) == {
        "bleu": pytest.approx(100),
        "chrf": pytest.approx(100),
    }
    assert bleu_figures(bleu_counts("", ["Ein Hund."])) == {"bleu": 0, "chrf": 0}
    assert bleu_figures({}) == {"bleu": 0, "chrf": 0}
