"""Fused causal attention: where it is taken, and that it is the attention of the blocks."""

import types

import keras
import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.layers import fused_attention
from kerasgpt.layers.attention import MultiHeadAttention, attention_mask_of
from kerasgpt.layers.fused_attention import has_fused_attention
from kerasgpt.models import gpt2
from kerasgpt.models.gpt2 import GPT2CausalLM


@pytest.fixture
def gpu(monkeypatch):
    """JAX on a GPU of a compute capability, as it says so itself."""

    def sees(capability):
        device = types.SimpleNamespace(compute_capability=capability)
        jax = types.SimpleNamespace(devices=lambda: [device], default_backend=lambda: "gpu")
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
        monkeypatch.setattr(fused_attention.importlib, "import_module", lambda name: jax)

    return sees


def test_is_taken_in_half_precision_on_a_gpu_that_has_the_kernels(gpu):
    gpu("9.0")
    assert has_fused_attention("bfloat16", 64)
    assert has_fused_attention("float16", 128)
    assert not has_fused_attention("float32", 64)
    assert not has_fused_attention("bfloat16", 192)
    assert not has_fused_attention("bfloat16", 20)


@pytest.mark.parametrize("capability", ["7.5", "gfx90a", ""])
def test_is_not_taken_on_other_gpus(gpu, capability):
    gpu(capability)
    assert not has_fused_attention("bfloat16", 64)


def test_is_not_taken_where_every_run_shall_have_the_same_bits(gpu, monkeypatch):
    gpu("9.0")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_exclude_nondeterministic_ops=true")
    assert not has_fused_attention("bfloat16", 64)


@pytest.mark.parametrize("length", [7, 256])
def test_without_a_mask_each_position_sees_the_earlier_ones(length):
    layer = MultiHeadAttention(num_heads=4, initializer_range=0.5)
    hidden = np.random.default_rng(0).normal(size=(2, length, 16)).astype("float32")
    output, (keys, values) = layer(hidden, None)
    expected, (expected_keys, expected_values) = layer(hidden, attention_mask_of(None, length, length, 0))
    assert np.allclose(output, expected, atol=1e-5)
    assert np.array_equal(keys, expected_keys)
    assert np.array_equal(values, expected_values)


def test_without_a_mask_and_with_dropout_each_position_sees_the_earlier_ones():
    layer = MultiHeadAttention(num_heads=2, attention_dropout=0.5, initializer_range=0.5)
    hidden = np.random.default_rng(0).normal(size=(1, 6, 8)).astype("float32")
    other = hidden.copy()
    other[:, 4:] += 1
    outputs = []
    for rows in (hidden, other):
        layer.weights_dropout.seed_generator.state.assign([0, 7])
        outputs.append(np.asarray(layer(rows, None, training=True)[0]))
    assert np.allclose(outputs[0][:, :4], outputs[1][:, :4], atol=1e-6)
    assert not np.allclose(outputs[0], layer(hidden, None)[0])


def losses_of_a_fit(dropout):
    """A few steps from the same weights, over two blocks of queries."""
    keras.utils.set_random_seed(0)
    config = GPT2Config(
        vocabulary_size=32,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        max_sequence_length=256,
        initializer_range=0.5,
        dropout=dropout,
    )
    model = GPT2CausalLM(config)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    ids = np.random.default_rng(0).integers(0, 32, (2, 257))
    history = model.fit(ids[:, :-1], ids[:, 1:], batch_size=2, epochs=3, shuffle=False, verbose=0)
    return history.history["loss"]


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_model_trains_as_with_attention_in_blocks(monkeypatch, dropout):
    expected = losses_of_a_fit(dropout)
    monkeypatch.setattr(gpt2, "has_fused_attention", lambda dtype, head_dim: True)
    assert np.allclose(losses_of_a_fit(dropout), expected, atol=1e-3)


def test_a_model_with_padding_or_a_cache_masks_as_ever(monkeypatch):
    model = GPT2CausalLM(GPT2Config(vocabulary_size=32, num_layers=1, num_heads=2, hidden_dim=16))
    ids, mask = np.array([[3, 1, 4, 1]]), np.array([[0, 1, 1, 1]])
    expected = model(ids, attention_mask=mask), model(ids, cache=model.make_cache(1, 8))[0]
    monkeypatch.setattr(gpt2, "has_fused_attention", lambda dtype, head_dim: True)
    assert np.array_equal(model(ids, attention_mask=mask), expected[0])
    assert np.array_equal(model(ids, cache=model.make_cache(1, 8))[0], expected[1])
