"""AdamW against numpy, on a GPT-2 whose batch repeats its ids."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.config import GPT2Config
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.training.losses import token_loss
from kerasgpt.training.optimizer import averaged, make_optimizer, undecayed_variables
from kerasgpt.training.settings import TrainConfig

IDS = np.array([[1, 1, 2, 1], [3, 1, 1, 1]], "int32")
LABELS = np.array([[1, 2, 1, 1], [1, 1, 1, 2]], "int32")
WEIGHTS = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], "float32")


def _model(tied=True):
    keras.utils.set_random_seed(1)
    config = GPT2Config(6, 4, 1, 2, 8, dropout=0, embedding_dropout=0, attention_dropout=0)
    model = GPT2CausalLM(config.replace(tie_word_embeddings=tied))
    model.build()
    return model


def _gradients(model):
    with tf.GradientTape() as tape:
        loss = token_loss()(LABELS, model(IDS, training=True), WEIGHTS)
    values = [variable.value for variable in model.trainable_variables]
    return [tf.convert_to_tensor(gradient).numpy() for gradient in tape.gradient(loss, values)]


def _compiled(model, settings):
    optimizer = make_optimizer(settings, model)
    model.compile(optimizer, token_loss(), jit_compile=False)
    return optimizer


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_steps_equal_adamw_in_numpy_where_ids_repeat(tied, clip_norm):
    settings = TrainConfig(steps=100, learning_rate=0.01, warmup_steps=0, clip_norm=clip_norm)
    model = _model(tied)
    optimizer = _compiled(model, settings)
    undecayed = {id(variable) for variable in undecayed_variables(model)}
    weights = [variable.numpy().astype("float64") for variable in model.trainable_variables]
    means = [np.zeros_like(weight) for weight in weights]
    squares = [np.zeros_like(weight) for weight in weights]
    for step in (1, 2):
        gradients = _gradients(model)
        norm = np.sqrt(sum((gradient.astype("float64") ** 2).sum() for gradient in gradients))
        model.train_on_batch(IDS, LABELS, WEIGHTS)
        rate = 0.01 * (1 + np.cos(np.pi * (step - 1) / 100)) / 2
        shrink = min(1, clip_norm / norm) if clip_norm else 1
        for index, variable in enumerate(model.trainable_variables):
            gradient = gradients[index] * shrink
            means[index] = 0.9 * means[index] + 0.1 * gradient
            squares[index] = 0.99 * squares[index] + 0.01 * gradient**2
            if id(variable) not in undecayed:
                weights[index] -= rate * 0.1 * weights[index]
            # Kingma and Ba 2015, end of section 2: the order in which Keras adds epsilon.
            step_size = rate * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
            weights[index] -= step_size * means[index] / (np.sqrt(squares[index]) + 1e-7)
            np.testing.assert_allclose(variable.numpy(), weights[index], atol=2e-5, err_msg=variable.path)
        assert float(optimizer.gradient_norm) == pytest.approx(norm, rel=1e-4)


def test_only_matrices_and_token_embeddings_decay():
    model = _model()
    undecayed = {id(variable) for variable in undecayed_variables(model)}
    decayed = {v.path.split("/", 1)[1] for v in model.trainable_variables if id(v) not in undecayed}
    assert {path.rsplit("/", 2)[-2] for path in decayed} == {
        "token_embedding",
        "qkv",
        "output",
        "expand",
        "contract",
    }
    assert all(path.endswith(("kernel", "embeddings")) for path in decayed)


def test_accumulated_batches_make_the_step_of_one_large_batch():
    whole, parts = _model(), _model()
    settings = {"steps": 50, "learning_rate": 0.01, "warmup_steps": 0}
    one = _compiled(whole, TrainConfig(**settings))
    two = _compiled(parts, TrainConfig(**settings, accumulation_steps=2))
    weights = np.ones_like(WEIGHTS)
    whole.train_on_batch(IDS, LABELS, weights)
    for row in (slice(0, 1), slice(1, 2)):
        parts.train_on_batch(IDS[row], LABELS[row], weights[row])
    assert float(two.gradient_norm) == pytest.approx(float(one.gradient_norm), rel=1e-5)
    for left, right in zip(whole.trainable_variables, parts.trainable_variables, strict=True):
        np.testing.assert_allclose(left.numpy(), right.numpy(), atol=1e-4)


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_averages_follow_the_weights_after_each_update(accumulation_steps):
    model = _model()
    settings = TrainConfig(
        steps=50, learning_rate=0.01, warmup_steps=0, ema_decay=0.3, accumulation_steps=accumulation_steps
    )
    optimizer = _compiled(model, settings)
    optimizer.build(model.trainable_variables)
    expected = [variable.numpy() for variable in model.trainable_variables]
    for update in range(1, 4):
        for _ in range(accumulation_steps):
            model.train_on_batch(IDS, LABELS, WEIGHTS)
        decay = min(0.3, (1 + update) / (10 + update))
        weights = [variable.numpy() for variable in model.trainable_variables]
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, weights, strict=True)]
        for average, wanted in zip(optimizer.averages, expected, strict=True):
            np.testing.assert_allclose(average.numpy(), wanted, atol=1e-6)
    with averaged(optimizer, model):
        np.testing.assert_array_equal(model.trainable_variables[0].numpy(), optimizer.averages[0].numpy())
    np.testing.assert_array_equal(model.trainable_variables[0].numpy(), weights[0])


def test_a_skipped_spike_leaves_weights_moments_and_what_is_usual_as_they_were():
    model = _model()
    settings = TrainConfig(
        steps=100, learning_rate=0.001, warmup_steps=0, spike_policy="skip", spike_factor=4
    )
    optimizer = _compiled(model, settings)
    for _ in range(21):
        model.train_on_batch(IDS, LABELS, WEIGHTS)
    kept = [*model.trainable_variables, *optimizer._moments, optimizer._usual_norm]
    before = [variable.numpy() for variable in kept]
    assert len(optimizer._moments) == 2 * len(model.trainable_variables)
    for factor in (1e3, float("nan")):
        optimizer.apply([gradient * factor for gradient in _gradients(model)], model.trainable_variables)
    for variable, value in zip(kept, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    assert float(optimizer.num_spikes) == 2
    optimizer.apply(_gradients(model), model.trainable_variables)
    assert (model.trainable_variables[0].numpy() != before[0]).any()


def test_the_first_updates_are_no_spikes():
    model = _model()
    settings = TrainConfig(steps=100, learning_rate=1e-5, warmup_steps=0, spike_policy="skip", spike_factor=4)
    optimizer = _compiled(model, settings)
    for factor in (1, 1e3, 1):
        optimizer.apply([gradient * factor for gradient in _gradients(model)], model.trainable_variables)
    assert float(optimizer.num_spikes) == 0


DEVICES = """
import contextlib, json, sys
from kerasgpt.quick_start import leave_out_bystanders
leave_out_bystanders()
import keras, numpy as np
from kerasgpt.config import GPT2Config
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.training.losses import token_loss
from kerasgpt.training.optimizer import make_optimizer
from kerasgpt.training.settings import TrainConfig

count, scope = int(sys.argv[1]), contextlib.nullcontext()
if keras.backend.backend() == "jax" and count > 1:
    devices = keras.distribution.list_devices()
    assert len(devices) == count
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
elif count > 1:
    import tensorflow as tf
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    scope = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(count)]).scope()
keras.utils.set_random_seed(1)
with scope:
    rates = {"dropout": 0, "embedding_dropout": 0, "attention_dropout": 0}
    model = GPT2CausalLM(GPT2Config(50, 16, 1, 2, 16, **rates))
    model.build()
    settings = TrainConfig(steps=50, learning_rate=0.01, warmup_steps=0, clip_norm=0.05, ema_decay=0.9)
    optimizer = make_optimizer(settings, model)
    model.compile(optimizer, token_loss(), jit_compile=keras.backend.backend() == "jax")
ids = np.random.default_rng(0).integers(0, 50, (32, 16)).astype("int32")
losses = model.fit(ids, np.roll(ids, -1, 1), batch_size=8, epochs=2, verbose=0, shuffle=False).history["loss"]
print(json.dumps([*losses, float(optimizer.gradient_norm.numpy())]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "count"), [("tensorflow", 2), ("jax", 4)])
def test_several_devices_clip_as_one(backend, count):
    results = []
    for devices in (1, count):
        flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
        paths = os.pathsep.join(sys.path)
        environment = {**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": flags, "PYTHONPATH": paths}
        command = [sys.executable, "-c", DEVICES, str(devices)]
        child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert child.returncode == 0, child.stderr
        results.append(json.loads(child.stdout.splitlines()[-1]))
    assert results[1] == pytest.approx(results[0], rel=1e-5)
