"""Groups of rows: the same results in several portions."""

import pytest
import tensorflow as tf

from kerasgpt.config import GPT2Config
from kerasgpt.in_graph import groups
from kerasgpt.in_graph.groups import in_groups, refuse_large, rows_per_group


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_results_lie_in_the_order_of_the_rows(size: int) -> None:
    seen = tf.Variable(0)

    def doubled(rows: tf.Tensor) -> tuple[tf.Tensor]:
        seen.assign(tf.maximum(seen, tf.size(rows)))
        return (2 * rows,)

    rows = tf.range(7)
    (found,) = in_groups(doubled, (rows,), tf.constant(size), (tf.zeros([0], tf.int32),))
    assert found.numpy().tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert int(seen) == min(size, 7)


def test_no_rows_give_no_results() -> None:
    (found,) = in_groups(lambda rows: (rows,), (tf.zeros([0, 3]),), tf.constant(4), (tf.zeros([0, 3]),))
    assert found.shape == (0, 3)


def test_a_group_is_as_large_as_the_memory_allows() -> None:
    config = GPT2Config()
    for columns in (1, 100, 1024, 10**6):
        rows = int(rows_per_group(config, tf.constant(columns, tf.int64)))
        cache = rows * columns * 2 * 4 * config.num_layers * config.hidden_dim
        assert rows == 1 or cache <= groups.LARGEST_CACHE_BYTES
        assert rows == groups.LARGEST_GROUP or 2 * cache > groups.LARGEST_CACHE_BYTES


def test_long_prompts_are_read_in_smaller_groups() -> None:
    config = GPT2Config.from_preset("gpt-nano")
    for columns in (1024, 8192):
        rows = int(rows_per_group(config, tf.constant(columns, tf.int64)))
        assert rows * config.num_heads * columns**2 * 4 <= groups.LARGEST_SCORES_BYTES


def test_an_answer_that_is_too_large_is_refused() -> None:
    refuse_large(tf.constant(10**8, tf.int64), "the logits")
    with pytest.raises(tf.errors.InvalidArgumentError, match="the logits would take more than"):
        refuse_large(tf.constant(10**9, tf.int64), "the logits")
