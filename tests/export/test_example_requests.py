"""Examples for whatever signatures there are, in words that the model writes itself."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt import GenerationConfig, Tokenizer
from kerasgpt.export.example_requests import Examples, texts_of
from kerasgpt.export.signatures import Signature, TensorSpec

TEXTS = [("But soft what light", " through yonder window"), ("To be", " or not")]


def signature(**inputs: TensorSpec) -> Signature:
    return Signature("any", inputs, {}, {})


def spec(dtype: str, *shape: int | None) -> TensorSpec:
    return TensorSpec("x:0", dtype, (None, *shape))


@pytest.fixture
def examples(tokenizer: Tokenizer) -> Examples:
    return Examples.of(TEXTS, tokenizer, GenerationConfig(max_new_tokens=9), 64)


def test_two_rows_as_of_two_callers(examples: Examples, tokenizer: Tokenizer) -> None:
    inputs = examples.inputs(
        signature(
            prompts=spec("string"),
            continuations=spec("string"),
            max_new_tokens=spec("int64"),
            temperature=spec("float32"),
            input_ids=spec("int32", None),
            attention_mask=spec("int32", None),
            lengths=spec("int64"),
        )
    )
    assert inputs["prompts"].tolist() == [b"But soft what light", b"To be"]
    assert inputs["continuations"].tolist() == [b" through yonder window", b" or not"]
    assert inputs["max_new_tokens"].tolist() == [9, 5]
    np.testing.assert_array_equal(inputs["temperature"], np.float32([0, 0.8]))
    assert inputs["input_ids"].dtype == inputs["attention_mask"].dtype == np.int32
    for row, (prompt, _) in enumerate(TEXTS):
        ids = tokenizer.encode(prompt)
        assert inputs["input_ids"][row, : len(ids)].tolist() == ids
        assert inputs["attention_mask"][row].sum() == inputs["lengths"][row] == len(ids)


def test_an_unknown_input_has_no_example(examples: Examples) -> None:
    asked = signature(prompts=spec("string"), keys=spec("float32", 1, 1, None, 4))
    assert examples.inputs(asked) is None
    state = {"keys": np.zeros((2, 1, 1, 3, 4), np.float32)}
    assert examples.with_state(state).inputs(asked)["keys"].shape == (2, 1, 1, 3, 4)


def test_shorter_ones_write_less(examples: Examples) -> None:
    asked = signature(max_new_tokens=spec("int64"), num_steps=spec("int64"))
    inputs = examples.shorter(6).inputs(asked)
    assert inputs["max_new_tokens"].tolist() == [6, 5]
    assert (inputs["num_steps"] <= inputs["max_new_tokens"]).all()


def model_that_writes(*texts: str) -> Any:
    names = [
        "prompts",
        "max_new_tokens",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "seed",
        "stop",
    ]
    dtypes = [
        tf.string,
        tf.int64,
        tf.float32,
        tf.int64,
        tf.float32,
        tf.float32,
        tf.float32,
        tf.int64,
        tf.string,
    ]
    written = {"text": tf.constant([text.encode() for text in texts])}
    specs = {name: tf.TensorSpec([None], dtype, name) for name, dtype in zip(names, dtypes, strict=True)}

    class Generate:
        structured_input_signature = ((), specs)

        def __call__(self, **inputs: Any) -> Any:
            assert set(inputs) == set(names)
            return written

    return SimpleNamespace(signatures={"generate": Generate()})


def test_prompts_are_what_the_model_itself_writes() -> None:
    story = "Es war einmal ein König, der hatte drei Söhne"
    model = model_that_writes("", "\x07 bell", f"\n{story}", "Der Wolf und die sieben jungen Geißlein gingen")
    assert texts_of(model) == [
        ("Es war einmal ein", " König, der hatte drei"),
        ("Der Wolf und die", " sieben jungen Geißlein gingen"),
    ]


@pytest.mark.parametrize(
    "model", [model_that_writes("", "a b", "\ufffd " * 9), SimpleNamespace(signatures={})]
)
def test_of_a_model_without_words_they_are_english(model: Any) -> None:
    assert texts_of(model) == [("Once upon a time", " there was"), ("The end", " of the world")]


@pytest.mark.parametrize("context", [2, 3, 8, 64])
def test_examples_fit_a_short_context(context: int) -> None:
    tokenizer = Tokenizer.learn(["nothing of the texts"], 258)
    texts = [("Once upon a time", " there was"), ("北京", " 上海")]
    examples = Examples.of(texts, tokenizer, GenerationConfig(), context)
    values = examples.values
    for prompt, continuation in zip(values["prompts"], values["continuations"], strict=True):
        sizes = [len(tokenizer.encode(text.decode())) for text in (prompt, continuation)]
        assert all(sizes)
        assert sum(sizes) <= context
    assert values["input_ids"].shape[1] == max(values["lengths"]) <= context
    if context == 64:
        assert values["prompts"] == [prompt.encode() for prompt, _ in texts]
