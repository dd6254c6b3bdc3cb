"""Which document of its window each token is of, and where in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def segments_and_positions(ids: NDArray[np.int32], end_of_text_id: int) -> dict[str, NDArray[np.int32]]:
    """Number the documents in each window, and count positions from the beginning of each.

    Args:
        ids: int32 (B, T).
        end_of_text_id: with which a document begins.

    Returns:
        ``segment_ids`` and ``position_ids``, int32 (B, T), as `kerasgpt.models.gpt2.GPT2` takes them.

    >>> {name: array.tolist() for name, array in segments_and_positions(np.array([[7, 9, 5, 6]]), 9).items()}
    {'segment_ids': [[0, 1, 1, 1]], 'position_ids': [[0, 0, 1, 2]]}
    """
    begins = ids == end_of_text_id
    places = np.arange(ids.shape[1], dtype=np.int32)
    starts = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    return {
        "segment_ids": np.cumsum(begins, axis=1, dtype=np.int32),
        "position_ids": (places - starts).astype(np.int32),
    }
