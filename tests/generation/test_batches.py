import numpy as np
import pytest

from kerasgpt.generation.batches import LARGEST_BATCH, LOGITS_BUDGET, batches


@pytest.mark.parametrize("vocabulary_size", [3, 1000, 50257])
def test_each_row_is_in_one_batch_within_the_budget(vocabulary_size: int) -> None:
    lengths = np.random.default_rng(0).integers(0, 1025, 300).tolist()
    found = list(batches(lengths, vocabulary_size))
    assert sorted(n for batch in found for n in batch) == [n for n, length in enumerate(lengths) if length]
    for batch in found:
        numbers = len(batch) * max(lengths[n] for n in batch) * vocabulary_size
        assert len(batch) == 1 or (numbers <= LOGITS_BUDGET and len(batch) <= LARGEST_BATCH)
    in_order = [lengths[n] for batch in found for n in batch]
    assert in_order == sorted(in_order, reverse=True)


def test_a_row_beyond_the_budget_is_read_alone() -> None:
    assert list(batches([LOGITS_BUDGET, 1, 1], vocabulary_size=2)) == [[0], [1, 2]]
