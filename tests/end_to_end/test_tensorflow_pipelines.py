"""The SavedModel in functions, tf.data and Keras models; and docs/pipelines.md, whose blocks are run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"
TEXTS = ["What light", "", "naïve 北京", "x" * 150, "the end", "the end", "b", "To be, or not", "\n\n"]
NEUTRAL = {
    "max_new_tokens": tf.constant(8, tf.int64),
    "temperature": tf.constant(0.0),
    "top_k": tf.constant(0, tf.int64),
    "top_p": tf.constant(1.0),
    "min_p": tf.constant(0.0),
    "repetition_penalty": tf.constant(1.0),
    "seed": tf.constant(0, tf.int64),
    "stop": tf.constant(""),
}


@pytest.fixture(scope="module")
def folder(bundle):
    return str(bundle / "saved_model" / "1")


@pytest.fixture(scope="module")
def model(folder):
    return tf.saved_model.load(folder)


def settings(rows, **changes):
    return {name: tf.fill([rows], value) for name, value in {**NEUTRAL, **changes}.items()}


@pytest.fixture(scope="module")
def sample(model):
    """Prompts (B,) and their seeds -> every output of `generate`, sampled."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64)])
    def call(prompts, seed):
        values = {**NEUTRAL, "temperature": tf.constant(1.0)}
        rows = {name: tf.fill(tf.shape(prompts), value) for name, value in values.items()}
        return model.signatures["generate"](prompts=prompts, **{**rows, "seed": seed})

    return call


@pytest.fixture(scope="module")
def alone(sample):
    """What each text gives in a call of its own."""
    return [sample(tf.constant([text]), tf.constant([row], tf.int64)) for row, text in enumerate(TEXTS)]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9])
@pytest.mark.parametrize("parallel", [None, 2, tf.data.AUTOTUNE])
def test_map_gives_what_direct_calls_give(sample, alone, batch_size, parallel):
    data = tf.data.Dataset.from_tensor_slices(TEXTS).enumerate().batch(batch_size)
    mapped = data.map(lambda number, texts: sample(texts, number), num_parallel_calls=parallel)
    rows = list(mapped.unbatch().as_numpy_iterator())
    assert len({row["text"] for row in rows}) > 4
    for row, own in zip(rows, alone, strict=True):
        assert row["text"] == own["text"].numpy()[0]
        assert row["token_ids"].tolist() == own["token_ids"].numpy()[0].tolist()
        assert row["logprob"] == pytest.approx(own["logprob"].numpy()[0], abs=1e-4)


def test_seeds_go_with_the_texts_wherever_they_are_read(sample, alone):
    data = (
        tf.data.Dataset.from_tensor_slices(TEXTS)
        .enumerate()
        .shuffle(9, seed=3, reshuffle_each_iteration=False)
    )
    shards = [data.shard(2, index).batch(3) for index in range(2)]
    found = {}
    for shard in shards:
        for number, texts in shard.map(lambda number, batch: (number, sample(batch, number)["text"])):
            found.update(zip(number.numpy().tolist(), texts.numpy().tolist(), strict=True))
    assert [found[row] for row in range(len(TEXTS))] == [own["text"].numpy()[0] for own in alone]


def test_batches_of_like_length(sample, alone):
    data = tf.data.Dataset.from_tensor_slices(TEXTS).enumerate()
    buckets = data.bucket_by_sequence_length(lambda _, text: tf.strings.length(text), [5, 20], [2, 3, 1])
    found = {}
    for number, row in buckets.map(lambda number, texts: (number, sample(texts, number))).unbatch():
        found[int(number)] = row["text"].numpy()
    assert [found[row] for row in range(len(TEXTS))] == [own["text"].numpy()[0] for own in alone]


def test_logits_in_a_pipeline(model):
    ids = np.random.default_rng(0).integers(0, 300, (6, 10))
    lengths = np.array([10, 3, 1, 10, 7, 2])
    direct = model.signatures["logits"](input_ids=tf.constant(ids), lengths=tf.constant(lengths))["logits"]
    data = tf.data.Dataset.from_tensor_slices({"input_ids": ids, "lengths": lengths}).batch(2)
    mapped = list(data.map(lambda rows: model.signatures["logits"](**rows)["logits"]).unbatch())
    for row, wanted, length in zip(mapped, direct, lengths, strict=True):
        np.testing.assert_allclose(row[:length], wanted[:length], atol=1e-4)


def test_a_function_around_it_is_saved_and_loaded_by_tensorflow_alone(model, sample, alone, tmp_path):
    module = tf.Module()
    module.model, module.sample = model, sample
    tf.saved_model.save(module, str(tmp_path / "sampler"))
    code = (
        "import json, sys, tensorflow as tf\n"
        "texts = [text.encode() for text in json.loads(sys.argv[1])]\n"
        "sample = (loaded := tf.saved_model.load('sampler')).sample\n"
        "data = tf.data.Dataset.from_tensor_slices(texts).enumerate().batch(4)\n"
        "found = data.map(lambda number, batch: sample(batch, number)['text']).unbatch()\n"
        "print(json.dumps([text.decode() for text in found.as_numpy_iterator()]))\n"
        "assert not {'keras', 'kerasgpt'} & set(sys.modules)\n"
    )
    assert tensorflow_alone(code, tmp_path, json.dumps(TEXTS)) == [
        own["text"].numpy()[0].decode() for own in alone
    ]


def tensorflow_alone(code, folder, *arguments):
    """What a program prints, as JSON, in a process where Keras is missing and TensorFlow is all there is."""
    without_keras = f"import sys; sys.modules['keras'] = None\n{code}".replace("{'keras', ", "{")
    command = [sys.executable, "-c", without_keras, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@keras.saving.register_keras_serializable(package="app")
class Endpoint(keras.layers.TFSMLayer):
    """As docs/pipelines.md has it."""

    def call(self, inputs):
        return self.call_endpoint_fn(**inputs)


def test_each_signature_of_one_input_is_a_layer(model, folder):
    """Keras's class as it is; with `embed` and `tokenize` there will be more of them."""
    single = [name for name, call in model.signatures.items() if len(call.structured_input_signature[1]) == 1]
    assert "serving_default" in single
    for name in single:
        layer = keras.layers.TFSMLayer(folder, call_endpoint=name, trainable=False)
        assert layer.trainable_weights == []
        found, wanted = layer(tf.constant(TEXTS)), model.signatures[name](prompts=tf.constant(TEXTS))
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert np.array_equal(found[key], value), (name, key)


INPUTS = {
    "generate": {"prompts": tf.constant(TEXTS), **settings(len(TEXTS))},
    "generate_tokens": {
        "input_ids": tf.constant([[5, 6, 7], [8, 0, 0]], tf.int64),
        "lengths": tf.constant([3, 1], tf.int64),
        **settings(2, temperature=tf.constant(0.7)),
    },
    "logits": {
        "input_ids": tf.constant([[5, 6, 7], [8, 9, 9]], tf.int64),
        "lengths": tf.constant([3, 3], tf.int64),
    },
}


@pytest.mark.parametrize("name", INPUTS)
def test_signatures_of_several_inputs_are_layers_too(model, folder, name, tmp_path):
    given = INPUTS[name]
    inputs = {key: keras.Input(value.shape[1:], dtype=value.dtype, name=key) for key, value in given.items()}
    layer = Endpoint(folder, call_endpoint=name, trainable=False, dtype="float32")
    app = keras.Model(inputs, layer(inputs))
    wanted = model.signatures[name](**given)
    app.save(tmp_path / "app.keras")
    with pytest.raises(ValueError, match="safe_mode=False"):
        keras.models.load_model(tmp_path / "app.keras")
    for found in (app, keras.models.load_model(tmp_path / "app.keras", safe_mode=False)):
        outputs = found(given)
        assert outputs.keys() == wanted.keys()
        assert all(np.array_equal(outputs[key], value) for key, value in wanted.items())


def test_a_model_around_it_is_exported_and_needs_the_bundle_no_more(model, bundle, tmp_path):
    """Also under a mixed policy of the process, which reaches neither the texts nor the graph."""
    copy = shutil.copytree(bundle / "saved_model" / "1", tmp_path / "1")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((), dtype="string", name="prompts")
        serve = keras.layers.TFSMLayer(str(copy), call_endpoint="serving_default", trainable=False)
        keras.Model(inputs, serve(inputs)["text"]).export(tmp_path / "app", verbose=False)
    finally:
        keras.config.set_dtype_policy(before)
    shutil.rmtree(copy)
    code = (
        "import json, sys, tensorflow as tf\n"
        "loaded = tf.saved_model.load('app')\n"
        "texts = tf.constant([text.encode() for text in json.loads(sys.argv[1])])\n"
        "print(json.dumps([text.decode() for text in loaded.serve(texts).numpy()]))\n"
    )
    wanted = model.signatures["serving_default"](prompts=tf.constant(TEXTS))["text"].numpy()
    assert tensorflow_alone(code, tmp_path, json.dumps(TEXTS)) == [text.decode() for text in wanted]


def test_the_page_runs_as_it_stands(bundle, tmp_path, monkeypatch):
    (tmp_path / "bundle").symlink_to(bundle)
    monkeypatch.chdir(tmp_path)
    found = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict = {}
    for block in found:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(found) == 8
    assert len(names["written"]) == 4
    assert sorted(os.listdir()) == ["bundle", "classifier", "sampler", "writer"]
    assert names["classifier"].jit_compile
