"""The weights of each head against the layer's own output, which they must explain."""

import numpy as np

from kerasgpt.config import GPT2Config
from kerasgpt.layers.attention import attention_mask_of
from kerasgpt.models.attention_weights import attention_weights
from kerasgpt.models.gpt2 import GPT2

IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def _stack(**fields):
    stack = GPT2(GPT2Config(12, 8, 2, 2, 8, initializer_range=0.5, **fields))
    stack.build()
    return stack


def test_values_mixed_by_the_weights_are_what_the_layer_gives_out():
    stack = _stack(scale_attn_by_inverse_layer_idx=True)
    found = attention_weights(stack, IDS)
    hidden, mask = stack.embedding(IDS, np.arange(5)[None]), attention_mask_of(None, 5, 5, 0)
    for weights, block in zip(found, stack.blocks, strict=True):
        normed = block.attention_norm(hidden)
        output, (_, values) = block.attention(normed, mask)
        mixed = np.asarray(weights) @ np.asarray(values)  # (B, N, T, H)
        mixed = mixed.transpose(0, 2, 1, 3).reshape(2, 5, 8)
        np.testing.assert_allclose(block.attention.output_projection(mixed), output, atol=1e-5)
        hidden, _ = block(hidden, mask)


def test_a_row_sums_to_one_and_sees_nothing_later():
    for weights in attention_weights(_stack(), IDS):
        weights = np.asarray(weights)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        assert (np.triu(weights, 1) == 0).all()
