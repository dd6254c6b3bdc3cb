"""The tokenizer as a layer: in a model, saved, exported, in a data pipeline."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.errors import UsageError
from kerasgpt.in_graph.layer import TokenizerLayer
from kerasgpt.tokenizer.bpe import Tokenizer

TEXTS = ["To be, or not to be", "", "naïve 北京 <|endoftext|>", "that is the question " * 9]


@pytest.fixture(scope="module", params=["gpt2", "learned"])
def tokenizer(request, shakespeare):
    if request.param == "gpt2":
        return Tokenizer.from_preset("gpt2")
    return Tokenizer.learn([shakespeare[:5000]], 300, special_tokens=["<|user|>"])


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


def test_a_length_below_one_is_refused(tokenizer):
    with pytest.raises(UsageError, match="sequence_length is 0"):
        TokenizerLayer(tokenizer, 0)
