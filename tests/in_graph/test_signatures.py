"""The signatures as their clients call them: defaults, shapes, and errors of rows and requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer

PROMPTS = ["hello", "", "the end of you'll", "naïve 🙂"]
TEXTS = tf.constant([prompt.encode() for prompt in PROMPTS])


def padded(tokenizer: Tokenizer, prompts: list[str]) -> tuple[Any, Any]:
    ids = tf.ragged.constant([tokenizer.encode(prompt) for prompt in prompts], tf.int64, ragged_rank=1)
    return ids.to_tensor(0), ids.row_lengths()


def test_defaults_are_greedy(functions: dict[str, Any], keras_lm: StepLanguageModel) -> None:
    expected = [generation.text for generation in keras_lm.generate(PROMPTS, keras_lm.settings)]
    served = [text.decode() for text in functions["serving_default"](TEXTS)["text"].numpy()]
    generated = [text.decode() for text in functions["generate"](TEXTS)["text"].numpy()]
    assert served == generated
    for text, longer in zip(served, expected, strict=True):
        assert longer.startswith(text)


def test_ids_are_continued_as_texts_are(functions: dict[str, Any], small_tokenizer: Tokenizer) -> None:
    ids, lengths = padded(small_tokenizer, PROMPTS)
    by_text, by_ids = functions["generate"](TEXTS), functions["generate_tokens"](ids, lengths)
    for name, tensor in by_text.items():
        np.testing.assert_array_equal(by_ids[name], tensor, err_msg=name)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_logits_of_nothing_have_a_row_for_each_prompt(functions: dict[str, Any], rows: int) -> None:
    ids, lengths = tf.zeros([rows, 0], tf.int64), tf.zeros([rows], tf.int64)
    assert functions["logits"](ids, lengths)["logits"].shape[:2] == (rows, 0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_old_form_takes_a_mask_of_either_side(
    functions: dict[str, Any], small_tokenizer: Tokenizer, side: str
) -> None:
    ids, lengths = (tensor.numpy() for tensor in padded(small_tokenizer, PROMPTS))
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int32)
    if side == "left":
        for row, length in enumerate(lengths):
            ids[row], mask[row] = np.roll(ids[row], -length), np.roll(mask[row], -length)
    found = functions["serving"](tf.constant(ids, tf.int32), tf.constant(mask))["sequences"]
    expected = functions["generate_tokens"](*padded(small_tokenizer, PROMPTS))
    longest = int(max(expected["num_tokens"].numpy()))
    assert found.dtype == tf.int32
    np.testing.assert_array_equal(found[:, : ids.shape[1]], ids)
    np.testing.assert_array_equal(found[:, ids.shape[1] :], expected["token_ids"][:, :longest])


def test_text_to_ids_and_back(functions: dict[str, Any], small_tokenizer: Tokenizer) -> None:
    found = functions["tokenize"](TEXTS)
    _, lengths = padded(small_tokenizer, PROMPTS)
    np.testing.assert_array_equal(found["lengths"], lengths)
    for row, prompt in enumerate(PROMPTS):
        assert found["input_ids"][row, : lengths[row]].numpy().tolist() == small_tokenizer.encode(prompt)
    texts = functions["detokenize"](found["input_ids"], found["lengths"])["text"].numpy()
    assert [text.decode() for text in texts] == PROMPTS
    beyond = functions["detokenize"](tf.constant([[10**9, -5]], tf.int64), tf.constant([2], tf.int64))
    assert beyond["text"].numpy().tolist() == [b""]


def test_embeddings_are_the_hidden_states_of_keras(
    functions: dict[str, Any], small_model: GPT2CausalLM, small_tokenizer: Tokenizer
) -> None:
    found = functions["embed"](TEXTS)
    for row, prompt in enumerate(PROMPTS):
        ids = small_tokenizer.encode(prompt) or [small_tokenizer.end_of_text_id]
        hidden = np.asarray(small_model.backbone(np.array([ids])))[0]
        np.testing.assert_allclose(found["last"][row], hidden[-1], atol=2e-5)
        np.testing.assert_allclose(found["mean"][row], hidden.mean(axis=0), atol=2e-5)
        assert found["num_tokens"][row] == len(ids)
    long = functions["embed"](tf.constant(["q" * 100]))
    assert long["num_tokens"].numpy().tolist() == [small_model.config.max_sequence_length]


def test_scores_need_a_continuation_for_each_prompt(functions: dict[str, Any]) -> None:
    assert functions["score"](TEXTS, TEXTS)["logprob"].shape == (4,)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one continuation for each prompt"):
        functions["score"](TEXTS, TEXTS[:2])


def test_an_id_beyond_the_vocabulary_is_an_error_of_its_row(functions: dict[str, Any]) -> None:
    ids = tf.constant([[1, 2, 3], [1, 10**6, 3], [1, -1, 3]], tf.int64)
    lengths = tf.constant([3, 3, 1], tf.int64)
    found = functions["generate_tokens"](ids, lengths)
    assert found["error"].numpy()[1].startswith(b"input_ids holds id 1000000: ids go from 0 to")
    assert (found["finish_reason"].numpy()[1], found["num_tokens"].numpy()[1]) == (b"error", 0)
    for row in (0, 2):
        alone = functions["generate_tokens"](ids[row : row + 1, : lengths[row]], lengths[row : row + 1])
        np.testing.assert_array_equal(found["token_ids"][row], alone["token_ids"][0])
        assert found["error"].numpy()[row] == b""


@pytest.mark.parametrize(
    ("name", "inputs", "why"),
    [
        ("logits", ([[1, 10**6]], [2]), "ids go from 0 to"),
        ("logits", ([[-1, 1]], [1]), "holds id -1"),
        ("logits", ([[1, 1]], [3]), "lengths is 3"),
        ("logits", ([[1] * 41], [41]), "the context is 40 tokens"),
        ("serving", ([[1, 10**6]], [[1, 1]]), "outside 0 to"),
    ],
)
def test_a_request_without_room_for_errors_is_refused_as_a_whole(
    functions: dict[str, Any], name: str, inputs: Any, why: str
) -> None:
    dtype = tf.int32 if name == "serving" else tf.int64
    with pytest.raises(tf.errors.InvalidArgumentError, match=why):
        functions[name](*(tf.constant(each, dtype) for each in inputs))


def test_what_is_malformed_is_read_as_replaced(functions: dict[str, Any]) -> None:
    found = functions["generate"](tf.constant([b"a\xff\xfeb", "a\ufffd\ufffdb".encode(), b"\x00"]))
    np.testing.assert_array_equal(found["token_ids"][0], found["token_ids"][1])
    assert set(found["error"].numpy()) == {b""}


def test_nothing_is_traced_again(functions: dict[str, Any], small_tokenizer: Tokenizer) -> None:
    """A function with an input signature has one trace, whatever comes in; else it refuses."""
    for rows in (1, 2, 5):
        for length in (1, 7):
            functions["generate"](
                tf.constant(["x" * length] * rows),
                max_new_tokens=tf.constant([rows], tf.int64),
                temperature=tf.constant([0.5 * length]),
            )
    assert functions["generate"].experimental_get_tracing_count() == 1
