"""What each attention head looks at: its weights over the columns, computed from the layers' own parts."""

from __future__ import annotations

from keras import ops

from kerasgpt.layers.attention import attention_mask_of, scaled_dot_product_weights
from kerasgpt.layers.cache import Tensor
from kerasgpt.models.gpt2 import GPT2


def attention_weights(stack: GPT2, token_ids: Tensor) -> list[Tensor]:
    """Read tokens, and say where each head of each block looks from each position.

    The forward pass is the model's; a block's queries and keys are projected once more for the weights, which
    the pass itself does not give out.

    Args:
        stack: of a model, its ``backbone``.
        token_ids: int (B, T).

    Returns:
        For each of the L blocks float32 (B, N, T, T): each row sums to 1, over its own position and earlier
        ones.

    >>> import numpy as np
    >>> from kerasgpt.config import GPT2Config
    >>> stack = GPT2(GPT2Config(vocabulary_size=16, num_layers=1, num_heads=2, hidden_dim=8))
    >>> tuple(attention_weights(stack, np.array([[3, 1, 4]]))[0].shape)
    (1, 2, 3, 3)
    """
    stack.build()
    length = ops.shape(token_ids)[1]
    mask = attention_mask_of(None, length, length, 0)
    positions = ops.expand_dims(ops.arange(length, dtype="int32"), 0)
    hidden = stack.embedding(token_ids, positions)
    found = []
    for block in stack.blocks:
        attention = block.attention
        fused = attention.qkv(block.attention_norm(hidden))  # (B, T, 3D)
        fused = ops.reshape(fused, (*ops.shape(fused)[:2], 3, attention.num_heads, attention.head_dim))
        query, key, _ = ops.unstack(ops.transpose(fused, (2, 0, 3, 1, 4)))  # (B, N, T, H) each
        scale = attention.attention_scale
        scale = attention.head_dim**-0.5 if scale is None else scale
        found.append(scaled_dot_product_weights(query, key, mask, scale))
        hidden, _ = block(hidden, mask)
    return found
