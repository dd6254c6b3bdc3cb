"""Prompts side by side in the graph, as the numpy engines lay them."""

from __future__ import annotations

import pytest
import tensorflow as tf

from kerasgpt.generation.stopping import fit_prompt
from kerasgpt.in_graph.prompts import fit_prompts


@pytest.mark.parametrize(("context", "max_new_tokens"), [(10, 4), (10, 9), (10, 30), (1, 5), (7, 3)])
def test_prompts_are_fitted_as_the_numpy_engines_fit_them(context: int, max_new_tokens: int) -> None:
    rows = [list(range(length)) for length in (0, 1, 3, 9, 10, 11, 25, 0)]
    fitted = fit_prompts(
        tf.ragged.constant(rows, tf.int64, ragged_rank=1),
        tf.fill([len(rows)], tf.constant(max_new_tokens, tf.int64)),
        end_of_text_id=99,
        context=context,
    )
    expected = []
    for row in rows:
        kept = fit_prompt(len(row), max_new_tokens, context)
        expected.append(row[len(row) - kept :] if row else [99])
    actual = [
        ids[:length].tolist()
        for ids, length in zip(fitted.token_ids.numpy(), fitted.lengths.numpy(), strict=True)
    ]
    assert actual == expected
    assert fitted.token_ids.shape[1] == max(map(len, expected))
    dropped = [len(row) - len(kept) if row else 0 for row, kept in zip(rows, expected, strict=True)]
    assert fitted.num_dropped.numpy().tolist() == dropped


def test_no_prompts_at_all() -> None:
    nothing = tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int64), tf.zeros([1], tf.int64))
    fitted = fit_prompts(nothing, tf.zeros([0], tf.int64), end_of_text_id=9, context=8)
    assert fitted.token_ids.shape == (0, 1)
    assert fitted.lengths.shape == (0,)
