import json

import numpy as np
import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.evaluation import evaluate_task
from kerasgpt.tasks.lambada import Lambada


@pytest.fixture
def passages(tmp_path):
    texts = ['She said "no" to the man', "Né en\n\nété, a signs", "a b"]
    path = tmp_path / "lambada.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path, texts


def naive(lm, text: str) -> tuple[float, bool]:
    """The last word byte by byte."""
    ids, start = list(text.encode()), len(text.rpartition(" ")[0].encode())
    rows = [lm.logprobs(ids[:end]) for end in range(start, len(ids))]
    targets = ids[start:]
    return sum(row[i] for row, i in zip(rows, targets, strict=True)), all(
        row.argmax() == i for row, i in zip(rows, targets, strict=True)
    )


def test_it_is_what_a_byte_at_a_time_says(passages, byte_model) -> None:
    path, texts = passages
    lm = byte_model()
    found = evaluate_task(Lambada(), lm, Lambada().read([path], lm)).summary.metrics
    expected = [naive(lm, text) for text in texts]
    assert found["perplexity"] == pytest.approx(np.exp(-np.mean([nats for nats, _ in expected])))
    assert found["acc"] == np.mean([greedy for _, greedy in expected])
    assert found["num_truncated"] == 0


def test_a_greedy_word_is_right(tmp_path, byte_model) -> None:
    lm = byte_model()
    ids = list(b"once upon a")
    for _ in range(3):
        ids.append(int(lm.logprobs(ids).argmax()))
    lm.logprobs = lambda before: np.where(np.arange(257) == (b" me"[len(before) - 11]), 0.0, -9.0)
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "once upon a me"}\n{"text": "once upon a we"}\n')
    found = evaluate_task(Lambada(), lm, Lambada().read([path], lm)).summary.metrics
    assert found["acc"] == 0.5


def test_a_passage_longer_than_the_context_loses_its_beginning(passages, byte_model) -> None:
    path, _ = passages
    lm = byte_model(context=12)
    assert evaluate_task(Lambada(), lm, Lambada().read([path], lm)).summary.metrics["num_truncated"] == 2


@pytest.mark.parametrize("text", ["word", "word ", " word"])
def test_one_word_is_no_passage(tmp_path, byte_model, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a b"}\n' + json.dumps({"text": text}))
    with pytest.raises(KerasGPTError, match='line 2: its "text" has one word only'):
        Lambada().read([path], byte_model())
