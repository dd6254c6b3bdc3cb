"""A fine-tuned model's task inside the graph: what `ask` answers in Python, its signature answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.export.example_requests import Examples
from kerasgpt.export.saved_model import write_saved_model
from kerasgpt.export.signatures import read_signatures
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.in_graph.decode import GraphModel
from kerasgpt.in_graph.generation import Words, step_by_step
from kerasgpt.in_graph.signatures import signatures
from kerasgpt.in_graph.transformer import GraphTransformer
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tasks.asking import ask
from kerasgpt.tasks.templates import TaskTemplate
from kerasgpt.tokenizer.bpe import Tokenizer

QUESTIONS = TaskTemplate("question_answering", "{context}\nQ{{: {question}\nA:", "context", max_new_tokens=9)
WORDS = TaskTemplate("translation", "{source}:", "source", max_new_tokens=12)
TEXTS = ["hello you", "", "the end 🙂", "naïve"]


@pytest.fixture(scope="module")
def model(transformer: GraphTransformer) -> GraphModel:
    return step_by_step(transformer)


def signature(transformer: GraphTransformer, words: Words, model: GraphModel, task: TaskTemplate) -> Any:
    return signatures(transformer, words, 10, model, task)["answer"]


def test_one_field(
    transformer: GraphTransformer, words: Words, model: GraphModel, keras_lm: StepLanguageModel
) -> None:
    found = signature(transformer, words, model, WORDS)(tf.constant(TEXTS))
    assert [text.decode() for text in found["answer"].numpy()] == ask(keras_lm, WORDS, TEXTS)
    assert found["error"].numpy().tolist() == [b""] * 4


def test_two_fields_by_name_and_a_row_without_room(
    transformer: GraphTransformer, words: Words, model: GraphModel, keras_lm: StepLanguageModel
) -> None:
    answer = signature(transformer, words, model, QUESTIONS)
    contexts, questions = ["hello", "q" * 30, "the end"], ["who", "what", "you"]
    found = answer(tf.constant(contexts), tf.constant(questions))
    rows = [
        {"context": context, "question": question}
        for context, question in zip(contexts, questions, strict=True)
    ]
    expected = ask(keras_lm, QUESTIONS, [rows[0], rows[2]])
    assert [found["answer"][row].numpy().decode() for row in (0, 2)] == expected
    assert found["answer"][1] == b""
    assert [bool(error) for error in found["error"].numpy()] == [False, True, False]
    assert b"more than 31 tokens" in found["error"].numpy()[1]
    assert b"shorten its context" in found["error"].numpy()[1]


def test_a_saved_model_has_it_under_the_names_of_its_fields(
    small_model: GPT2CausalLM, small_tokenizer: Tokenizer, keras_lm: StepLanguageModel, tmp_path: Path
) -> None:
    settings, arrays = GenerationConfig(), named_arrays(small_model)
    write_saved_model(small_model.config, arrays, small_tokenizer, settings, tmp_path / "1", task=QUESTIONS)
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["answer"]
    given = {"question": tf.constant(["who"]), "context": tf.constant(["hello"])}
    expected = ask(keras_lm, QUESTIONS, [{"context": "hello", "question": "who"}])
    assert [text.decode() for text in served(**given)["answer"].numpy()] == expected
    signature = read_signatures(tmp_path / "1")["answer"]
    examples = Examples.of([("hello", " you"), ("the", " end")], small_tokenizer, settings, 64)
    assert set(examples.inputs(signature) or {}) == {
        "context",
        "question",
    }
    page = (Path(__file__).parents[2] / "docs" / "signatures.md").read_text()
    assert "`answer`: a string [B] for each field; out come answer string [B], error string [B]" in page
