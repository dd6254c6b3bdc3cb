import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.protocols import Score
from kerasgpt.tasks.evaluation import evaluate_task
from kerasgpt.tasks.files.documents import SeparatorsScoredWarning
from kerasgpt.tasks.language_modeling import LanguageModeling, evaluate
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

TEXT = "Ein Mann, né en été: 🙂 and then some more plain text to score."


class WindowModel:
    """A language model whose next logits depend on the ids it was given, all of them."""

    def __init__(self, context: int, uniform: bool = False) -> None:
        self.tokenizer = Tokenizer(learned_vocabulary([]), [])
        self.max_sequence_length = context
        self.uniform = uniform
        self.scored: list[list[int]] = []
        self.longest = 0

    def logprob(self, before: list[int], index: int) -> float:
        self.longest = max(self.longest, len(before))
        logits = np.zeros(257) if self.uniform else np.random.default_rng(before).normal(0, 2, 257)
        return float(logits[index] - np.log(np.exp(logits).sum()))

    def score(self, prompts, continuations) -> list[Score]:
        scores = []
        for prompt, rest in zip(prompts, continuations, strict=True):
            self.scored.append(list(rest))
            ids = [*prompt, *rest]
            logprobs = [self.logprob(ids[:end], ids[end]) for end in range(len(prompt), len(ids))]
            scores.append(Score(sum(logprobs), len(rest), False))
        return scores


def naive_loss(lm: WindowModel, window: int, stride: int) -> float:
    """One token at a time: those of a step share the left edge of their window."""
    ids = [256, *TEXT.encode()]
    total = 0.0
    for target in range(1, len(ids)):
        steps_after_the_first = max(0, -(-(target - window) // stride))
        last_of_step = min(window + steps_after_the_first * stride, len(ids) - 1)
        total -= lm.logprob(ids[max(last_of_step - window, 0) : target], ids[target])
    return total / (len(ids) - 1)


@pytest.mark.parametrize(
    ("context", "window", "stride"),
    [(1000, None, None), (16, None, None), (16, 16, 1), (16, 10, 10), (16, 7, 3), (5, 1, 1), (1, None, None)],
)
def test_loss_equals_one_token_at_a_time(context: int, window: int | None, stride: int | None) -> None:
    lm = WindowModel(context)
    result = evaluate(lm, TEXT, window=window, stride=stride)
    width = window or context
    assert lm.longest <= width
    assert result["loss"] == pytest.approx(naive_loss(lm, width, stride or max(width // 2, 1)), rel=1e-9)
    assert result["perplexity"] == pytest.approx(np.exp(result["loss"]))


@pytest.mark.parametrize("context", [3, 16, 64, 1000])
def test_every_byte_is_scored_exactly_once(context: int) -> None:
    lm = WindowModel(context)
    result = evaluate(lm, TEXT)
    assert bytes(index for part in lm.scored for index in part) == TEXT.encode()
    assert result["num_tokens"] == result["num_bytes"] == len(TEXT.encode())


def test_a_uniform_model_gives_the_logarithm_of_the_vocabulary() -> None:
    result = evaluate(WindowModel(16, uniform=True), TEXT)
    assert result["loss"] == pytest.approx(np.log(257))
    assert result["perplexity"] == pytest.approx(257)
    assert result["bits_per_byte"] == pytest.approx(np.log2(257))


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("", {}, "empty"),
        ("\n \n", {}, "empty"),
        ("<|endoftext|>\n\n<|endoftext|>\n", {}, "empty"),
        ("a", {"window": 17}, "window is 17: it must be from 1 to the context of 16"),
        ("a", {"window": 0}, "window is 0"),
        ("a", {"stride": 0}, "stride is 0"),
        ("a", {"window": 4, "stride": 5}, "stride is 5: it must be from 1 to the window of 4"),
    ],
)
def test_wrong_requests_are_refused(text: str, words: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(WindowModel(16), text, **words)


DOCUMENTS = ["The first one, né.", "And 🙂 another, which is longer than the first one is.", "x"]


@pytest.fixture
def stories(tmp_path):
    path = tmp_path / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(DOCUMENTS))
    return path


def figures(lm: WindowModel, task: LanguageModeling, path, **words) -> dict:
    return evaluate_task(task, lm, task.read([path], lm), **words).summary.metrics


@pytest.mark.filterwarnings("ignore::kerasgpt.tasks.files.documents.SeparatorsScoredWarning")
@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
@pytest.mark.parametrize("level", ["token", "document"])
def test_batches_change_nothing(stories, batch_size: int, level: str) -> None:
    task = LanguageModeling(window=11, stride=4, level=level)
    assert figures(WindowModel(16), task, stories, batch_size=batch_size) == figures(
        WindowModel(16), task, stories
    )


def test_a_file_is_one_text_as_evaluate_scores_it(tmp_path) -> None:
    path = tmp_path / "story.txt"
    path.write_text(text := "\n".join(DOCUMENTS))
    task = LanguageModeling(window=11, stride=4)
    assert figures(WindowModel(16), task, path) == evaluate(WindowModel(16), text, window=11, stride=4)


def test_evaluate_scores_the_documents_of_a_text_apart(stories) -> None:
    task = LanguageModeling(window=11, stride=4, level="document")
    apart, found = figures(WindowModel(16), task, stories), evaluate(WindowModel(16), stories.read_text())
    assert found["num_bytes"] == apart["num_bytes"] == sum(len(text.encode()) for text in DOCUMENTS)
    settings = {"window": 11, "stride": 4}
    loss = evaluate(WindowModel(16), stories.read_text(), **settings)["loss"]
    assert loss == pytest.approx(apart["loss"], rel=1e-12)


def test_documents_are_scored_apart_and_their_mean_too(stories) -> None:
    found = figures(WindowModel(16), LanguageModeling(window=11, stride=4, level="document"), stories)
    alone = [evaluate(WindowModel(16), text, window=11, stride=4) for text in DOCUMENTS]
    nats = sum(one["loss"] * one["num_tokens"] for one in alone)
    tokens = sum(one["num_tokens"] for one in alone)
    assert found["loss"] == pytest.approx(nats / tokens, rel=1e-12)
    assert found["document_loss"] == pytest.approx(np.mean([one["loss"] for one in alone]), rel=1e-12)
    assert found["document_perplexity"] == pytest.approx(np.exp(found["document_loss"]))
    assert found["num_documents"] == 3
    assert found["num_bytes"] == tokens


def test_markers_that_are_scored_as_text_are_told_of(stories) -> None:
    with pytest.warns(SeparatorsScoredWarning, match=r"stories.txt: 2 lines are <\|endoftext\|>"):
        LanguageModeling().read([stories], WindowModel(16))


@pytest.mark.filterwarnings("ignore::kerasgpt.tasks.files.documents.SeparatorsScoredWarning")
def test_bits_per_character_are_of_characters(stories) -> None:
    found = figures(WindowModel(16, uniform=True), LanguageModeling(), stories)
    assert found["bits_per_character"] == pytest.approx(
        np.log2(257) * found["num_bytes"] / found["num_characters"]
    )
    assert found["num_characters"] == len(stories.read_text())


def test_words_are_those_of_the_file_and_nats_those_of_the_text_put_together(tmp_path) -> None:
    path = tmp_path / "wiki.txt"
    path.write_text(" \n = A Title = \n \n He had a guest @-@ starring role , in 2 @,@ 000 . \n")
    whole = "\n= A Title =\n\nHe had a guest-starring role, in 2,000.\n"
    found = figures(WindowModel(100), LanguageModeling(detokenizer="wikitext"), path)
    expected = evaluate(WindowModel(100), whole)
    nats = expected["loss"] * expected["num_tokens"]
    assert found["bits_per_byte"] == pytest.approx(expected["bits_per_byte"])
    assert found["num_words"] == len(path.read_text().split()) == 17
    assert found["num_line_ends"] == 4
    assert found["word_perplexity"] == pytest.approx(np.exp(nats / 17))
    assert found["word_perplexity_with_line_ends"] == pytest.approx(np.exp(nats / 21))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"level": "documents"}, "unknown level 'documents': did you mean 'document'?"),
        ({"detokenizer": "wikitex"}, "did you mean 'wikitext'"),
    ],
)
def test_unknown_words_are_refused(words: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        LanguageModeling(**words)
    assert message in str(caught.value)
