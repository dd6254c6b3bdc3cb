"""`kerasgpt score`: log-probabilities of continuations, as JSON lines."""

import io
import json
import math

import numpy as np
import pytest

from kerasgpt import Tokenizer, load
from kerasgpt.cli import main
from kerasgpt.engines import ENGINES

PAIRS = [
    ("ROMEO:\n", "But soft"),
    ("", "The"),
    ("naïve ", "北京"),
    ("The king", ""),
    ("a" * 300, " end"),
]


def lines(pairs) -> str:
    return "".join(json.dumps({"prompt": a, "continuation": b}) + "\n\n" for a, b in pairs)


@pytest.fixture
def score(run, bundle):
    """Call it on the bundle and give its JSON lines."""

    def call(pairs, *arguments):
        outcome = run("score", bundle, *arguments, stdin=lines(pairs))
        assert outcome.code == 0, outcome.err
        return outcome.rows

    return call


@pytest.mark.parametrize("engine", ENGINES)
def test_scores_are_sums_of_the_keras_models_log_probabilities(score, bundle, engine):
    rows = score(PAIRS[:4], "--engine", engine)
    assert [(row["prompt"], row["continuation"]) for row in rows] == PAIRS[:4]
    tokenizer, model = Tokenizer.from_preset(bundle), load(bundle, "keras").model.model
    for row in rows:
        assert set(row) == {"prompt", "continuation", "logprob", "num_tokens", "is_greedy"}
        prompt = tokenizer.encode(row["prompt"]) or [tokenizer.end_of_text_id]
        rest = tokenizer.encode(row["continuation"])
        logits = np.asarray(model(np.array([[*prompt, *rest]])), np.float64)[0, len(prompt) - 1 : -1]
        logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        assert row["num_tokens"] == len(rest)
        expected = sum(step[index] for step, index in zip(logprobs, rest, strict=False))
        assert row["logprob"] == pytest.approx(expected, abs=1e-3)


def test_what_is_generated_greedily_is_greedy_and_as_probable_as_said(score, run, bundle):
    (row,) = run("generate", bundle, "--prompt", "The", "--json").rows
    tokenizer = Tokenizer.from_preset(bundle)
    ids = tokenizer.encode(row["text"])
    (scored,) = score([("The", row["text"])])
    if ids == row["token_ids"]:
        assert scored["is_greedy"]
        assert scored["logprob"] == pytest.approx(math.fsum(row["logprobs"]), abs=1e-3)
    (by_ids,) = load(bundle).score(["The"], [row["token_ids"]])
    assert by_ids.is_greedy
    assert by_ids.logprob == pytest.approx(math.fsum(row["logprobs"]), abs=1e-3)


def test_lines_alone_score_as_lines_together(score):
    together = score(PAIRS)
    for row, pair in zip(together, PAIRS, strict=True):
        (alone,) = score([pair])
        assert alone["logprob"] == pytest.approx(row["logprob"], abs=1e-4)


def test_an_empty_continuation_is_certain(score):
    (row,) = score([("The king", "")])
    assert (row["logprob"], row["num_tokens"], row["is_greedy"]) == (0, 0, True)


def test_a_prompt_longer_than_the_context_is_said(run, bundle):
    outcome = run("score", bundle, stdin=lines(PAIRS[-1:]))
    assert outcome.code == 0
    assert "the model's context is 96" in outcome.err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("not json", 'line 2: not a JSON object with "prompt" and "continuation"'),
        ('{"prompt": "a"}', "line 2: not a JSON object"),
        ("[1, 2]", "line 2: not a JSON object"),
        pytest.param("[" * 100_000, "line 2: not a JSON object", id="nested"),
        ('{"prompt": "a", "continuation": 3}', "line 2: prompt and continuation must be strings"),
    ],
)
def test_bad_lines_are_named_by_their_number_and_those_before_are_answered(run, bundle, line, sentence):
    first = '{"prompt": "a", "continuation": "b"}\n'
    outcome = run("score", bundle, stdin=first + line)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert sentence in outcome.err
    assert [(row["prompt"], row["continuation"]) for row in outcome.rows] == [("a", "b")]


def test_half_a_surrogate_pair_is_scored_and_given_back(score):
    rows = score([("a", "b"), ("\ud83d", "x"), ("c", "\udcff")])
    assert [(row["prompt"], row["continuation"]) for row in rows] == [
        ("a", "b"),
        ("\ud83d", "x"),
        ("c", "\udcff"),
    ]
    (read,) = score([("\ufffd", "x")])
    assert rows[1]["logprob"] == pytest.approx(read["logprob"], abs=1e-4)


def test_a_continuation_that_is_too_long_is_named_after_those_before_it(run, score, bundle):
    outcome = run("score", bundle, stdin=lines([*PAIRS[:3], ("", "x" * 500), *PAIRS]))
    assert outcome.code == 2
    assert "standard input, line 7: a continuation has 500 tokens" in outcome.err
    assert outcome.err.count("\n") == 1
    for row, expected in zip(outcome.rows, score(PAIRS[:3]), strict=True):
        assert row == {**expected, "logprob": pytest.approx(expected["logprob"], abs=1e-4)}


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def test_at_a_terminal_it_says_what_to_type(bundle, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", Terminal(io.BytesIO(b"")))
    assert main(["score", str(bundle)]) == 0
    wanted = 'kerasgpt: type a {"prompt", "continuation"} a line, and at last Ctrl-D\n'
    assert capsys.readouterr().err == wanted


def test_wrong_usage(refuses, bundle, tmp_path):
    assert "did you mean 'onnx'" in refuses("score", bundle, "--engine", "onxx", code=2)
    assert "no such folder" in refuses("score", tmp_path / "no", code=1)
    long = json.dumps({"prompt": "", "continuation": "x" * 500})
    assert "more than the model's context of 96" in refuses("score", bundle, stdin=long, code=2)
