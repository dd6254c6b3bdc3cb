"""The tokenizer as a layer: in a model, saved, exported, in a data pipeline."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.in_graph.layer import TokenizerLayer
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer

TEXTS = ["To be, or not to be", "", "naïve 北京 <|endoftext|>", "that is the question " * 9]


@pytest.fixture(scope="module", params=["gpt2", "learned"])
def tokenizer(request, shakespeare):
    if request.param == "gpt2":
        return Tokenizer.from_preset("gpt2")
    return Tokenizer.learn([shakespeare[:5000]], 300, special_tokens=["<|user|>"])


ONE_TOKENIZER = pytest.mark.parametrize("tokenizer", ["learned"], indirect=True)  # of what comes after it


@pytest.fixture(scope="module")
def padded(tokenizer):
    rows = [tokenizer.encode(text)[:12] for text in TEXTS]
    return np.array([row + [tokenizer.end_of_text_id] * (12 - len(row)) for row in rows])


def model_of(tokenizer):
    inputs = keras.Input((), dtype="string")
    ids = TokenizerLayer(tokenizer, 12)(inputs)
    vectors = keras.layers.Embedding(tokenizer.vocabulary_size, 4)(ids)
    return keras.Model(inputs, [ids, vectors])


def test_ids_are_the_tokenizers(tokenizer, padded):
    assert np.array_equal(TokenizerLayer(tokenizer, 12)(tf.constant(TEXTS)), padded)
    ragged = TokenizerLayer(tokenizer)(tf.constant(TEXTS))
    assert ragged.to_list() == tokenizer.encode_batch(TEXTS)


def test_texts_of_a_rank_that_nobody_knows_are_rows(tokenizer, padded):
    texts = tf.data.Dataset.from_tensors(TEXTS).map(lambda row: tf.py_function(tf.identity, [row], tf.string))
    (ids,) = texts.map(TokenizerLayer(tokenizer, 12))
    assert np.array_equal(ids, padded)


def test_in_a_model_saved_and_loaded(tokenizer, padded, tmp_path):
    model = model_of(tokenizer)
    assert model.output_shape == [(None, 12), (None, 12, 4)]
    ids, vectors = model(tf.constant(TEXTS))
    assert np.array_equal(ids.numpy(), padded)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again, again_vectors = loaded(tf.constant(TEXTS))
    assert np.array_equal(again.numpy(), padded)
    assert np.array_equal(vectors.numpy(), again_vectors.numpy())


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_sequential_model_learns_from_texts(tokenizer, padded, policy):
    ids = TokenizerLayer(tokenizer, 12, dtype=policy)
    vectors = keras.layers.Embedding(tokenizer.vocabulary_size, 4)
    layers = [ids, vectors, keras.layers.Flatten(), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    texts = tf.constant(TEXTS)
    before = model(texts).numpy()
    np.testing.assert_allclose(before, keras.Sequential(layers[1:])(padded), rtol=1e-6)
    loss = model.fit(texts, before + 1, batch_size=4, verbose=0).history["loss"]
    assert loss == pytest.approx([1.0], abs=1e-5)
    assert np.abs(model.predict(texts, verbose=0) - before).max() > 0
    assert not model.jit_compile


READ_WITH_TENSORFLOW_ALONE = """
import sys
sys.modules["keras"] = None
import tensorflow as tf
module = tf.saved_model.load(sys.argv[1])
print(module.serve(tf.constant(["To be"]))[0].numpy().tolist())
"""


def test_an_exported_model_tokenizes_in_a_process_without_keras(tokenizer, tmp_path):
    model = model_of(tokenizer)
    model.export(tmp_path / "exported", verbose=False)
    command = [sys.executable, "-c", READ_WITH_TENSORFLOW_ALONE, str(tmp_path / "exported")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    row = tokenizer.encode("To be")
    assert result.stdout.strip() == str([row + [tokenizer.end_of_text_id] * (12 - len(row))])


def test_in_a_data_pipeline(tokenizer, padded):
    data = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2).map(TokenizerLayer(tokenizer, 12))
    assert np.array_equal(np.concatenate(list(data.as_numpy_iterator())), padded)


def test_its_config_makes_it_again():
    chat = Tokenizer.from_merges([], ["<|user|>"])
    names = {"end_of_text": "<|user|>", "roles": {"pad_token": "<|endoftext|>"}}
    other = Tokenizer(chat.vocabulary, chat.merges, **names)
    layer = TokenizerLayer(other, 4)
    again = TokenizerLayer.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    assert again(tf.constant(["a"])).numpy().tolist() == layer(tf.constant(["a"])).numpy().tolist()
    assert (again.tokenizer.end_of_text, again.tokenizer.roles) == tuple(names.values())


def test_a_length_below_one_is_refused(tokenizer):
    with pytest.raises(UsageError, match="sequence_length is 0"):
        TokenizerLayer(tokenizer, 0)


def test_the_mask_holds_the_text_and_the_end_after_it(tokenizer):
    layer = TokenizerLayer(tokenizer, 5)
    ids = layer(tf.constant(["", "a", "<|endoftext|> and more than fits"]))
    end = tokenizer.end_of_text_id
    wanted = [[True] + [False] * 4, [True, True, False, False, False], [True] * 5]
    assert layer.padding_mask(ids).numpy().tolist() == wanted
    assert ids.numpy()[0].tolist() == [end] * 5
    assert end not in ids.numpy()[2]


def classifier_of(tokenizer, sequence_length):
    """Raw strings to a probability, through a GPT-2 whose padding is masked."""
    keras.utils.set_random_seed(4)
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "max_sequence_length": 32}
    stack = GPT2CausalLM(GPT2Config(tokenizer.vocabulary_size, dropout=0.0, **sizes)).backbone
    inputs = keras.Input((), dtype="string", name="texts")
    tokenize = TokenizerLayer(tokenizer, sequence_length)
    ids = tokenize(inputs)
    mask = tokenize.padding_mask(ids)
    pooled = keras.layers.GlobalAveragePooling1D()(stack(ids, attention_mask=mask), mask=mask)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(pooled))


def fitted(model, **options):
    """Learn which texts hold a question, from a data pipeline of strings."""
    texts = [f"{word} {mark}" for word in ("to be", "or not", "to", "北京", "") for mark in "?."]
    labels = [float("?" in text) for text in texts]
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"], **options)
    data = tf.data.Dataset.from_tensor_slices((texts, labels)).batch(5)
    return model.fit(data, epochs=40, verbose=0).history["accuracy"][-1]


CLASSIFY_WITH_TENSORFLOW_ALONE = """
import json, sys
sys.modules["keras"] = None
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
texts = tf.constant([text.encode() for text in json.loads(sys.argv[2])])
print(json.dumps(loaded.signatures["serving_default"](texts=texts)["output_0"].numpy().tolist()))
"""


def test_a_classifier_learns_is_saved_and_exported_and_answers_alike_everywhere(tokenizer, tmp_path):
    model = classifier_of(tokenizer, 12)
    assert fitted(model) > 0.85
    wanted = model.predict(tf.constant(TEXTS), verbose=0)
    assert np.isfinite(wanted).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(tf.constant(TEXTS), verbose=0), wanted)
    model.export(tmp_path / "exported", verbose=False)
    command = [sys.executable, "-c", CLASSIFY_WITH_TENSORFLOW_ALONE, tmp_path / "exported", json.dumps(TEXTS)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(json.loads(result.stdout), wanted, rtol=1e-5)


def test_padding_changes_nothing(tokenizer):
    short, long = (classifier_of(tokenizer, length) for length in (8, 30))
    long.set_weights(short.get_weights())
    texts = tf.constant(["To be", "", "a 北"])
    np.testing.assert_allclose(short(texts), long(texts), rtol=1e-5)


@ONE_TOKENIZER
def test_asked_for_xla_keras_goes_on_without(tokenizer):
    """XLA knows no strings; the layer says so, and Keras heeds it."""
    model = classifier_of(tokenizer, 12)
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        assert fitted(model, jit_compile=True) > 0.85


@ONE_TOKENIZER
def test_what_comes_after_the_layer_learns_with_xla(tokenizer):
    """The texts are encoded by the pipeline; for export the layer is put in front again."""
    tokenize = TokenizerLayer(tokenizer, 12)
    whole = classifier_of(tokenizer, 12)
    body = keras.Model(whole.layers[1].output, whole.output)
    body.compile("adam", "binary_crossentropy", jit_compile=True)
    data = tf.data.Dataset.from_tensor_slices((TEXTS, [1.0, 0.0, 1.0, 0.0])).batch(2)
    before = whole(tf.constant(TEXTS)).numpy()
    body.fit(data.map(lambda texts, labels: (tokenize(texts), labels)), verbose=0)
    assert body.jit_compile
    app = keras.Sequential([keras.Input((), dtype="string"), tokenize, body])
    after = app(tf.constant(TEXTS)).numpy()
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after, whole(tf.constant(TEXTS)), rtol=1e-5)


def test_texts_come_as_columns_too_and_in_no_other_shape(tokenizer, padded):
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, TokenizerLayer(tokenizer, 12)(inputs))
    assert model.output_shape == (None, 12)
    assert np.array_equal(model(tf.constant(TEXTS)[:, None]), padded)
    for shape in ((2,), (1, 1)):
        with pytest.raises(
            UsageError, match=r"texts of shape .*: give a text a row, keras.Input\(\(\), dtype="
        ):
            TokenizerLayer(tokenizer, 12)(keras.Input(shape, dtype="string"))
