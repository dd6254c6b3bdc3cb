"""The model against Hugging Face's outputs, and its ways of computing the same thing against each other."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasgpt.config import ACTIVATIONS, GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.layers.cache import KVCache
from kerasgpt.models.gpt2 import GPT2CausalLM

TINY = GPT2Config(vocabulary_size=61, max_sequence_length=32, num_layers=2, num_heads=2, hidden_dim=16)


def tiny_model(seed: int = 0, **overrides) -> GPT2CausalLM:
    keras.utils.set_random_seed(seed)
    model = GPT2CausalLM(TINY.replace(**overrides))
    model.build()
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:  # away from the symmetric start: biases and norms too
        variable.assign(variable + 0.1 * generator.normal(size=variable.shape).astype("float32"))
    return model


def test_logits_equal_the_float64_reference(golden_folder, golden):
    logits = np.asarray(GPT2CausalLM.from_preset(golden_folder)(golden["input_ids"]))
    assert np.abs(logits - golden["logits_float64"]).max() < 1e-5


def test_left_padding_equals_hugging_face(golden_folder, golden):
    model = GPT2CausalLM.from_preset(golden_folder)
    mask, positions = golden["left_mask"], golden["left_position_ids"]
    logits = np.asarray(model(golden["input_ids"], attention_mask=mask, position_ids=positions))
    assert np.abs(logits - golden["left_logits"])[mask == 1].max() < 1e-5


def test_loss_equals_hugging_face(golden_folder, golden):
    model = GPT2CausalLM.from_preset(golden_folder)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    ids = golden["input_ids"]
    assert model.evaluate(ids[:, :-1], ids[:, 1:], verbose=0) == pytest.approx(golden["loss"], abs=1e-5)


def test_first_layer_keys_and_values_equal_hugging_face(golden_folder, golden):
    model = GPT2CausalLM.from_preset(golden_folder)
    batch, length = golden["input_ids"].shape
    _, cache = model(
        golden["input_ids"],
        attention_mask=golden["left_mask"],
        position_ids=golden["left_position_ids"],
        cache=model.make_cache(batch, length),
    )
    visible = golden["left_mask"][:, None, :, None] == 1
    assert np.abs((np.asarray(cache.keys[0]) - golden["key0"]) * visible).max() < 1e-5
    assert np.abs((np.asarray(cache.values[0]) - golden["value0"]) * visible).max() < 1e-5


@pytest.mark.parametrize("chunks", [[24], [10, 14], [1] * 24, [7, 1, 1, 15]])
def test_cached_equals_uncached(golden_folder, golden, chunks):
    model = GPT2CausalLM.from_preset(golden_folder)
    ids = golden["input_ids"]
    cache = model.make_cache(len(ids), 30)  # some columns stay free
    parts = []
    for start, end in itertools.pairwise([0, *itertools.accumulate(chunks)]):
        logits, cache = model(ids[:, start:end], cache=cache)
        parts.append(np.asarray(logits))
    assert int(cache.length) == 24
    assert np.abs(np.concatenate(parts, axis=1) - golden["logits_float64"]).max() < 1e-5


def test_right_padding_changes_nothing():
    model, ids = tiny_model(), np.arange(1, 9)[None]
    padded = np.concatenate([ids, np.full((1, 5), 60)], axis=1)
    mask = (np.arange(13) < 8)[None].astype("int32")
    assert np.allclose(model(padded, attention_mask=mask)[:, :8], model(ids), atol=1e-6)


def test_batched_equals_one_by_one(golden_folder, golden):
    model = GPT2CausalLM.from_preset(golden_folder)
    alone = [np.asarray(model(row[None]))[0] for row in golden["input_ids"]]
    assert np.allclose(alone, model(golden["input_ids"]), atol=1e-5)


def test_the_future_does_not_leak():
    model, ids = tiny_model(), np.arange(12)[None]
    changed = ids.copy()
    changed[0, 7:] += 20
    difference = np.abs(np.asarray(model(ids)) - np.asarray(model(changed))).max(axis=-1)[0]
    assert (difference[:7] == 0).all()
    assert (difference[7:] > 0).all()


def test_no_document_leaks_into_another_of_its_window():
    model, ids = tiny_model(), np.arange(12)[None]
    segments = np.array([[0] * 4 + [1] * 5 + [2] * 3])
    expected = np.asarray(model(ids, segment_ids=segments))
    for place in range(12):
        changed = ids.copy()
        changed[0, place] += 20
        logits = np.asarray(model(changed, segment_ids=segments))
        affected = (logits != expected).any(axis=-1)[0]
        same = segments[0] == segments[0, place]
        np.testing.assert_array_equal(affected, same & (np.arange(12) >= place))


def test_documents_in_one_window_are_as_each_alone():
    model, ids = tiny_model(), np.arange(12)[None]
    segments = np.array([[0] * 4 + [1] * 5 + [2] * 3])
    positions = np.array([[*range(4), *range(5), *range(3)]])
    logits = model(ids, segment_ids=segments, position_ids=positions)
    alone = np.concatenate([model(part) for part in (ids[:, :4], ids[:, 4:9], ids[:, 9:])], axis=1)
    assert np.allclose(logits, alone, atol=1e-5)


def test_arguments_may_come_as_one_dict():
    model, ids = tiny_model(), np.arange(8).reshape(2, 4)
    mask, segments = np.array([[0, 1, 1, 1]] * 2), np.array([[0, 0, 1, 1]] * 2)
    inputs = {"token_ids": ids, "attention_mask": mask, "segment_ids": segments}
    expected = model(ids, attention_mask=mask, segment_ids=segments)
    np.testing.assert_array_equal(model(inputs), expected)


def test_vectors_in_place_of_ids_equal_hugging_face(golden_folder, golden):
    """The tokens' rows of the file's table, looked up here; with padding, positions and a cache."""
    model = GPT2CausalLM.from_preset(golden_folder)
    vectors = load_file(golden_folder / "model.safetensors")["transformer.wte.weight"][golden["input_ids"]]
    mask, positions = golden["left_mask"], golden["left_position_ids"]
    logits = np.asarray(model(inputs_embeds=vectors, attention_mask=mask, position_ids=positions))
    assert np.abs(logits - golden["left_logits"])[mask == 1].max() < 1e-5
    cache = model.make_cache(*golden["input_ids"].shape)
    first, cache = model(inputs_embeds=vectors[:, :9], cache=cache)
    rest, _ = model(golden["input_ids"][:, 9:], cache=cache)  # ids may follow vectors
    together = np.concatenate([first, rest], axis=1)
    assert np.abs(together - golden["logits_float64"]).max() < 1e-5


def test_fit_takes_vectors_and_they_may_come_from_a_layer():
    """Vectors of another encoder, of another width, through a projection that learns with the model."""
    encoded = keras.Input((None, 5), name="encoded")
    logits = tiny_model()(inputs_embeds=keras.layers.Dense(16)(encoded))
    model = keras.Model(encoded, logits)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    vectors = np.random.default_rng(0).normal(size=(8, 6, 5)).astype("float32")
    labels = np.random.default_rng(1).integers(61, size=(8, 6))
    losses = model.fit(vectors, labels, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.1
    assert np.isfinite(tiny_model().predict({"inputs_embeds": np.zeros((2, 3, 16))}, verbose=0)).all()


@pytest.mark.parametrize("given", [{}, {"token_ids": np.ones((1, 3)), "inputs_embeds": np.ones((1, 3, 16))}])
def test_ids_and_vectors_exclude_each_other(given):
    with pytest.raises(UsageError, match="token_ids or inputs_embeds: give the one or the other"):
        tiny_model()(**given)


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_presets_have_exactly_gpt2s_parameters(preset, parameters):
    assert GPT2Config.from_preset(preset).num_parameters == parameters


def test_the_gpt2_preset_builds_with_all_its_parameters():
    assert GPT2CausalLM.from_preset("gpt2").count_params() == 124_439_808


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("tied", [True, False])
def test_the_formula_counts_what_the_model_has(activation, tied):
    config = TINY.replace(activation=activation, tie_word_embeddings=tied, intermediate_dim=24)
    model = GPT2CausalLM(config)
    model.build()
    assert model.count_params() == config.num_parameters


@pytest.mark.parametrize(
    "override",
    [
        {"activation": "gelu"},
        {"activation": "relu"},
        {"activation": "silu"},
        {"activation": "tanh"},
        {"layer_norm_epsilon": 0.1},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
    ],
)
def test_every_setting_changes_the_numbers(override):
    plain, changed = tiny_model(), tiny_model(**override)
    ids = np.arange(9)[None]
    assert np.abs(np.asarray(plain(ids)) - np.asarray(changed(ids))).max() > 1e-4


def test_initialisation_is_gpt2s():
    keras.utils.set_random_seed(1)
    model = GPT2CausalLM(TINY.replace(hidden_dim=256, num_heads=4, vocabulary_size=500))
    model.build()
    block = model.backbone.blocks[0]
    assert np.std(model.backbone.embedding.token_embedding.embeddings) == pytest.approx(0.02, rel=0.05)
    assert np.std(block.attention.qkv.kernel) == pytest.approx(0.02, rel=0.05)
    for projection in (block.attention.output_projection, block.feed_forward.contract):
        assert np.std(projection.kernel) == pytest.approx(0.02 / np.sqrt(2 * 2), rel=0.05)
        assert np.all(np.asarray(projection.bias) == 0)


def test_saves_and_loads_as_a_keras_file(tmp_path):
    model, ids = tiny_model(tie_word_embeddings=False), np.arange(9)[None]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.config == model.config
    assert np.array_equal(loaded(ids), model(ids))


def test_keras_export_gives_the_same_logits(tmp_path):
    import tensorflow as tf

    model, ids = tiny_model(), np.arange(9, dtype="int32")[None]
    signature = [keras.InputSpec(shape=(None, None), dtype="int32", name="token_ids")]
    for number, given in enumerate((signature, None)):
        model.export(tmp_path / f"exported{number}", input_signature=given, verbose=False)
        exported = tf.saved_model.load(tmp_path / f"exported{number}")
        assert np.allclose(exported.serve(ids), model(ids), atol=1e-6)


def test_keras_export_to_onnx_gives_the_same_logits(tmp_path):
    import onnxruntime

    model = tiny_model()  # never called, as after from_preset
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for shape in ((1, 9), (3, 4)):
        ids = np.random.default_rng(0).integers(0, 61, shape).astype("int32")
        assert np.allclose(session.run(None, {"token_ids": ids})[0], model(ids), atol=1e-4)


def test_symbolic_call_and_summary(capsys):
    model = tiny_model()
    inputs = keras.Input((None,), dtype="int32")
    functional = keras.Model(inputs, model(inputs))
    assert functional.output.shape == (None, None, 61)
    ids = np.arange(9)[None]
    assert np.allclose(functional(ids), model(ids), atol=1e-6)
    model.summary()
    assert f"{model.config.num_parameters:,}" in capsys.readouterr().out


def test_a_summary_shows_the_layers_within(capsys):
    model = tiny_model()
    inputs = keras.Input((None,), dtype="int32")
    for shown in (model, model.backbone, keras.Model(inputs, model(inputs))):
        shown.summary(expand_nested=True)
    assert "(None, None, 16)" in capsys.readouterr().out


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_shapes_are_known_without_a_call_and_logits_are_float32(policy):
    model = GPT2CausalLM(TINY, dtype=policy)
    assert model.compute_output_shape((None, 5)) == (None, 5, 61)
    assert model.compute_output_shape({"token_ids": (3, 5), "attention_mask": (3, 5)}) == (3, 5, 61)
    assert model.backbone.compute_output_shape((3, 5)) == (3, 5, 16)
    assert model.backbone.blocks[0].compute_output_shape((3, 5, 16))[0] == (3, 5, 16)
    (logits,) = keras.Sequential([keras.Input((5,), dtype="int32"), model]).outputs
    assert (logits.shape, logits.dtype) == ((None, 5, 61), "float32")


def test_a_text_has_as_many_tokens_as_there_are_positions_at_most():
    model = tiny_model()
    ids = np.zeros((2, 33), "int32")
    assert model(ids[:, :32]).shape == (2, 32, 61)
    for wrong, fed in ((33, ids), (0, ids[:, :0])):
        with pytest.raises(UsageError, match=f"texts of {wrong} tokens: this model reads 1 to 32"):
            model(fed)
    model.compile(keras.optimizers.SGD(), "mse", jit_compile=True)
    with pytest.raises(UsageError, match="texts of 33 tokens"):
        model.fit(ids, np.zeros((2, 33, 61)), verbose=0)


def test_a_cache_takes_no_more_than_it_has_columns_or_the_model_positions():
    model = tiny_model()
    ids = np.arange(33)[None] % 61
    with pytest.raises(UsageError, match="10 tokens for a cache of 8 columns, 0 of them filled"):
        model(ids[:, :10], cache=model.make_cache(1, 8))
    _, full = model(ids[:, :8], cache=model.make_cache(1, 8))
    with pytest.raises(UsageError, match="1 tokens for a cache of 8 columns, 8 of them filled"):
        model(ids[:, 8:9], cache=full)
    _, read = model(ids[:, :32], cache=model.make_cache(1, 40))
    with pytest.raises(UsageError, match="texts of 1 tokens after 32: this model reads 1 to 32"):
        model(ids[:, 32:], cache=read)
    logits, _ = model(ids[:, 32:], cache=read, position_ids=np.array([[31]]))  # who gives positions knows
    assert np.isfinite(np.asarray(logits)).all()


def test_a_step_of_a_functional_model_with_a_cache_comes_back_from_its_file(tmp_path):
    model = tiny_model()
    ids, length = keras.Input((None,), dtype="int32"), keras.Input((), dtype="int32")
    keys, values = ([keras.Input((2, 6, 8)) for _ in range(2)] for _ in range(2))
    logits, cache = model(ids, cache=KVCache(tuple(keys), tuple(values), keras.ops.max(length)))
    step = keras.Model([ids, *keys, *values, length], [logits, *cache.keys])
    step.save(tmp_path / "step.keras")
    again = keras.saving.load_model(tmp_path / "step.keras")
    empty = np.zeros((1, 2, 6, 8), "float32")
    fed = [np.array([[3, 1, 4]]), *[empty] * 4, np.array([0])]
    for ours, theirs in zip(step(fed), again(fed), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(step(fed)[0], model(fed[0]), atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_a_functional_model_with_two_heads_has_the_backbones_own_table(tied, tmp_path):
    model = tiny_model(tie_word_embeddings=tied)
    ids = keras.Input((None,), dtype="int32")
    hidden = model.backbone(ids)
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    both = keras.Model(ids, [model.head(hidden), keras.layers.Dense(2)(pooled)])
    assert len(both.weights) == len(model.weights) + 2
    fed = np.array([[3, 1, 4], [1, 5, 9]])
    np.testing.assert_allclose(both(fed)[0], model(fed), atol=1e-6)
    assert len(keras.models.clone_model(both).weights) == len(both.weights)
    both.save(tmp_path / "both.keras")
    again = keras.saving.load_model(tmp_path / "both.keras")
    for ours, theirs in zip(both(fed), again(fed), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_low_and_answers_float32(policy):
    low, full = GPT2CausalLM(TINY, dtype=policy), GPT2CausalLM(TINY)
    low.build()
    full.build()
    for ours, theirs in zip(low.trainable_variables, full.trainable_variables, strict=True):
        ours.assign(theirs)
    ids = np.arange(9)[None]
    logits = low(ids)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert low.make_cache(1, 4).keys[0].dtype == policy.removeprefix("mixed_")
    difference = np.abs(np.asarray(logits) - np.asarray(full(ids))).max()
    assert 0 < difference < 0.05


@pytest.mark.parametrize("jit_compile", [True, False])
def test_fit_learns(jit_compile):
    model = tiny_model()
    ids = np.tile(np.arange(1, 21), (8, 1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-2), loss=loss, jit_compile=jit_compile)
    history = model.fit(ids[:, :-1], ids[:, 1:], epochs=12, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < history[0] / 2


@pytest.mark.parametrize("tied", [True, False])
def test_repeated_ids_get_one_right_adamw_step(tied):
    # TensorFlow would sum the squares of a sparse gradient's parts where an id repeats.
    model = tiny_model(tie_word_embeddings=tied, dropout=0.0, embedding_dropout=0.0, attention_dropout=0.0)
    embedding = model.backbone.embedding
    tables = [embedding.token_embedding.embeddings, embedding.position_embedding.embeddings]
    before = [np.asarray(table).copy() for table in tables]
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=0.0, epsilon=1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    ids = np.array([[5, 5, 5, 7, 5], [5, 7, 7, 7, 2]])
    gradients = _numeric_like_gradients(model, ids, tables)
    model.fit(ids[:, :-1], ids[:, 1:], batch_size=2, epochs=1, verbose=0)
    for table, old, gradient in zip(tables, before, gradients, strict=True):
        # The first Adam step with bias correction: -rate * g / (|g| + epsilon); Keras scales epsilon.
        step = _first_adam_step(gradient)
        assert np.allclose(np.asarray(table) - old, step, atol=1e-6)


def _numeric_like_gradients(model, ids, tables):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        logits = model(ids[:, :-1])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(ids[:, 1:], logits)
    return [
        tf.convert_to_tensor(gradient).numpy()
        for gradient in tape.gradient(loss, [table.value for table in tables])
    ]


def _first_adam_step(gradient, rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-3):
    alpha = rate * np.sqrt(1 - beta_2) / (1 - beta_1)
    return -alpha * (1 - beta_1) * gradient / (np.sqrt((1 - beta_2) * gradient**2) + epsilon)


FIT_ON_ANOTHER_BACKEND = """
import json, sys
from kerasgpt.quick_start import leave_out_bystanders
leave_out_bystanders()
import numpy as np, keras
from kerasgpt.config import GPT2Config
from kerasgpt.models.gpt2 import GPT2CausalLM
config = GPT2Config(vocabulary_size=61, max_sequence_length=32, num_layers=2, num_heads=2, hidden_dim=16,
                    dropout=0.0, embedding_dropout=0.0, attention_dropout=0.0)
model = GPT2CausalLM(config)
model.build()
generator = np.random.default_rng(0)
for variable in model.trainable_variables:
    variable.assign(0.1 * generator.normal(size=variable.shape).astype("float32"))
model.compile(keras.optimizers.AdamW(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
ids = np.tile(np.arange(1, 21), (8, 1))
losses = model.fit(ids[:, :-1], ids[:, 1:], epochs=5, batch_size=4, shuffle=False, verbose=0).history["loss"]
model.save_to_preset(sys.argv[1])
plain = np.asarray(model(ids[:2]))
cache = model.make_cache(2, 25)
cached, cache = model(ids[:2, :12], cache=cache)
parts = [np.asarray(cached)]
for column in range(12, 20):
    cached, cache = model(ids[:2, column : column + 1], cache=cache)
    parts.append(np.asarray(cached))
cache_error = float(np.abs(np.concatenate(parts, axis=1) - plain).max())
result = {"cache_error": cache_error,
          "losses": losses, "tensorflow": "tensorflow" in sys.modules, "on": keras.backend.backend()}
print(json.dumps(result))
"""


def fit_with(backend: str, folder: Path) -> dict:
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FIT_ON_ANOTHER_BACKEND, str(folder)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def test_trains_on_jax_as_on_tensorflow(tmp_path):
    tensorflow, jax = fit_with("tensorflow", tmp_path / "tf"), fit_with("jax", tmp_path / "jax")
    assert jax["on"] == "jax"
    assert not jax["tensorflow"]
    assert np.allclose(jax["losses"], tensorflow["losses"], atol=1e-5)
    assert max(jax["cache_error"], tensorflow["cache_error"]) < 1e-5
    ids = np.arange(9)[None]
    trained_on_jax = GPT2CausalLM.from_preset(tmp_path / "jax")(ids)
    trained_on_tensorflow = GPT2CausalLM.from_preset(tmp_path / "tf")(ids)
    assert np.allclose(trained_on_jax, trained_on_tensorflow, atol=1e-5)


def test_a_preset_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'gpt2-medium'"):
        GPT2CausalLM.from_preset("gpt2-medum")


def test_the_cache_has_the_documented_layout():
    cache = tiny_model().make_cache(3, 10)
    assert isinstance(cache, KVCache)
    assert len(cache.keys) == len(cache.values) == 2
    assert tuple(cache.keys[0].shape) == (3, 2, 10, 8)
    assert int(cache.length) == 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [("gpt2", "is made of a GPT2Config, not of a str"), ({"n_layer": 3}, "unknown setting 'n_layer'")],
    ids=str,
)
def test_what_is_no_configuration_is_refused(given, sentence):
    with pytest.raises(UsageError, match=sentence):
        GPT2CausalLM(given)
