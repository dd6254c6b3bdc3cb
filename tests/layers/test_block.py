"""The block is its two branches, each added to what came in."""

import numpy as np

from kerasgpt.layers.attention import attention_mask_of
from kerasgpt.layers.block import TransformerBlock


def test_is_pre_norm_with_residuals():
    block = TransformerBlock(num_heads=2, intermediate_dim=12, initializer_range=0.5)
    hidden = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    mask = attention_mask_of(None, 5, 5, 0)
    output, _ = block(hidden, mask)
    after_attention = hidden + np.asarray(block.attention(block.attention_norm(hidden), mask)[0])
    expected = after_attention + np.asarray(block.feed_forward(block.feed_forward_norm(after_attention)))
    assert np.allclose(output, expected, atol=1e-5)


def test_configuration_round_trips():
    block = TransformerBlock(2, 12, "relu", 0.5, 0.1, 0.2, 1e-3, 0.03, 0.01, name="block")
    assert TransformerBlock.from_config(block.get_config()).get_config() == block.get_config()
