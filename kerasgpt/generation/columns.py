"""Rows of several caches in one: the columns of each that count, laid against the right edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasgpt.protocols import Ids


def counting_columns(masks: Sequence[NDArray[Any]]) -> list[Ids]:
    """Numbers of the columns of each row whose mask (B, S) is not 0, for the rows of all masks in turn.

    >>> [columns.tolist() for columns in counting_columns([np.array([[1, 0, 1]]), np.array([[1]])])]
    [[0, 2], [0]]
    """
    return [np.flatnonzero(row) for mask in masks for row in mask]


def packed(caches: Sequence[NDArray[Any]], columns: Sequence[Ids]) -> NDArray[Any]:
    """Lay the rows of caches one below the other, with no column more than the longest row needs.

    Args:
        caches: of several states, (B, N, S, H) each; B and S may differ.
        columns: of each row, those that count.

    Returns:
        (sum of B, N, longest row, H): each row's columns end at the right edge, zeros before them.
    """
    _, heads, _, width = caches[0].shape
    longest = max(len(own) for own in columns)
    joint = np.zeros((len(columns), heads, longest, width), caches[0].dtype)
    rows = [row for cache in caches for row in cache]  # (N, S, H) each
    for place, row, own in zip(joint, rows, columns, strict=True):
        place[:, longest - len(own) :] = row[:, own]
    return joint


def packed_mask(columns: Sequence[Ids]) -> Ids:
    """The mask (B, S) that goes with `packed`.

    >>> packed_mask([np.array([0, 2]), np.array([0])]).tolist()
    [[1, 1], [0, 1]]
    """
    lengths = np.array([len(own) for own in columns])
    longest = int(lengths.max())
    mask: Ids = (np.arange(longest) >= longest - lengths[:, None]).astype(np.int64)
    return mask
