"""The adapter for lm-eval: what the harness asks of a model is what our own tasks say of it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from kerasgpt import GenerationConfig, load
from kerasgpt.errors import UsageError
from kerasgpt.tasks import language_modeling
from kerasgpt.tasks.harness import HarnessModel, _settings
from kerasgpt.tasks.pairs import encode_pair, score_pairs


@pytest.fixture(scope="module")
def adapter(bundle):
    return HarnessModel(str(bundle), device="cpu", batch_size=1)


@pytest.fixture(scope="module")
def lm(bundle):
    return load(bundle)


def requests(kind: str, *arguments: tuple) -> list[Instance]:
    return [Instance(kind, {}, each, number) for number, each in enumerate(arguments)]


def test_it_is_registered() -> None:
    assert get_model("kerasgpt") is HarnessModel


def test_continuations(adapter, lm) -> None:
    pairs = [("To be or", " not"), ("Speak. ", "I am"), ("", "ROMEO"), ("word " * 200, "end")]
    one_token = next(pair for pair in lm.tokenizer.merges if "".join(pair).isalpha() and pair[0].isascii())
    pairs.append(one_token)
    assert len(lm.tokenizer.encode("".join(one_token))) == 1
    found = adapter.loglikelihood(requests("loglikelihood", *pairs), disable_tqdm=True)
    scores = score_pairs(lm, [encode_pair(lm, *pair, "here") for pair in pairs])
    assert [logprob for logprob, _ in found] == pytest.approx([score.logprob for score in scores])
    assert all(logprob < 0 for logprob, _ in found)
    assert [greedy for _, greedy in found] == [score.is_greedy for score in scores]


def test_whole_texts(adapter, lm, shakespeare) -> None:
    texts = [shakespeare[:900], "short", shakespeare[2000:2100]]
    found = adapter.loglikelihood_rolling(requests("loglikelihood_rolling", *((text,) for text in texts)))
    for total, text in zip(found, texts, strict=True):
        expected = language_modeling.evaluate(lm, text, stride=lm.max_sequence_length)
        assert -total == pytest.approx(expected["loss"] * expected["num_tokens"], rel=1e-6)


def test_texts_that_are_written(adapter, lm) -> None:
    words = [
        {"until": ["e", "zz"], "max_gen_toks": 20},
        {"until": "\n", "max_new_tokens": 5, "max_tokens": 9},
        {"max_tokens": 60, "repetition_penalty": 2.0, "min_new_tokens": 30},
        {"max_gen_toks": 8, "num_beams": 3, "do_sample": False},
    ]
    prompts = ["ROMEO:", "JULIET:", "To be", "Speak"]
    found = adapter.generate_until(requests("generate_until", *zip(prompts, words, strict=True)))
    settings = [
        GenerationConfig(max_new_tokens=20, stop=("e", "zz")),
        GenerationConfig(max_new_tokens=5, stop=("\n",)),
        GenerationConfig(max_new_tokens=60, repetition_penalty=2.0, min_new_tokens=30),
        GenerationConfig(max_new_tokens=8, num_beams=3),
    ]
    assert found == [one.text for one in lm.generate(prompts, settings)]
    assert found[3] != lm.generate([prompts[3]], GenerationConfig(max_new_tokens=8))[0].text


def test_a_context_is_cut_so_that_the_answer_fits(adapter, lm) -> None:
    """As the harness's own models do."""
    context, words = "word " * 200, {"max_gen_toks": 20, "min_new_tokens": 20}
    (found,) = adapter.generate_until(requests("generate_until", (context, words)))
    (expected,) = lm.generate(
        [lm.tokenizer.encode(context)[-76:]], GenerationConfig(max_new_tokens=20, min_new_tokens=20)
    )
    assert found == expected.text
    assert len(expected.token_ids) == 20
    for many in (96, 256):
        with pytest.raises(UsageError, match=f"max_gen_toks {many}: leaves no room .* window of 96 tokens"):
            adapter.generate_until(requests("generate_until", ("To be", {"max_gen_toks": many})))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            {"repetition_penalti": 2.0},
            "unknown setting 'repetition_penalti': did you mean 'repetition_penalty'",
        ),
        ({"num_return_sequences": 2}, "num_return_sequences: the harness judges one text"),
    ],
)
def test_words_without_effect_are_refused(words, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        _settings(words)


def test_words_are_read_as_command_lines_and_yaml_write_them() -> None:
    words = {"until": "a", "stop": ["b"], "top_k": "5", "top_p": "0.5", "no_repeat_ngram_size": 2.0}
    expected = GenerationConfig(256, stop=("a", "b"), top_k=5, top_p=0.5, no_repeat_ngram_size=2)
    assert _settings({**words, "echo": False, "num_return_sequences": 1}) == expected


def test_arguments_of_the_model_have_an_effect_or_are_refused(bundle) -> None:
    assert HarnessModel(str(bundle), max_length=20, trust_remote_code=True).max_length == 20
    with pytest.raises(UsageError, match="max_length is 97: it must be from 2 to the model's context of 96"):
        HarnessModel(str(bundle), max_length=97)
    with pytest.raises(UsageError, match="unknown model argument 'precison': did you mean 'precision'"):
        HarnessModel(str(bundle), precison="int8")


def test_sampling_is_asked_for_by_its_words(adapter, lm) -> None:
    words = {"do_sample": True, "temperature": 0.7, "top_k": 5, "max_gen_toks": 8}
    (found,) = adapter.generate_until(requests("generate_until", ("ROMEO:", words)))
    expected = GenerationConfig(max_new_tokens=8, temperature=0.7, top_k=5)
    assert found == lm.generate(["ROMEO:"], expected)[0].text
    (greedy,) = adapter.generate_until(requests("generate_until", ("ROMEO:", {**words, "do_sample": False})))
    assert greedy == lm.generate(["ROMEO:"], GenerationConfig(max_new_tokens=8))[0].text


def test_what_the_harness_needs_to_know(adapter, lm) -> None:
    assert adapter.eot_token_id == adapter.prefix_token_id == lm.tokenizer.end_of_text_id
    assert adapter.max_length == 96
    assert np.array_equal(adapter.tok_encode("To be"), lm.tokenizer.encode("To be"))


def test_the_program_is_the_harness_s_own() -> None:
    command = [sys.executable, "-m", "kerasgpt.tasks.harness", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "lm-eval" in result.stdout


def test_without_the_harness_a_sentence_says_so(tmp_path) -> None:
    (tmp_path / "lm_eval.py").write_text("raise ModuleNotFoundError('no lm_eval', name='lm_eval')\n")
    result = subprocess.run(
        [sys.executable, "-m", "kerasgpt.tasks.harness", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode == 1
    assert result.stderr.strip().endswith("pip install 'kerasgpt[tasks]'")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "temperature"),
    [
        ({}, 0.0),
        ({"temperature": 0.7}, 0.7),
        ({"temperature": 0}, 0.0),
        ({"do_sample": True, "temperature": 0.0}, 0.0),
        ({"do_sample": True}, 1.0),
        ({"do_sample": "true", "temperature": "0.7"}, 0.7),
        ({"do_sample": "False", "temperature": 0.7}, 0.0),
        ({"do_sample": None, "temperature": 0.7}, 0.7),
        ({"do_sample": None, "temperature": None}, 0.0),
    ],
)
def test_words_for_greedy_and_for_sampling(words, temperature) -> None:
    assert _settings(words).temperature == temperature
