"""Documents in windows, against counting one by one."""

import numpy as np

from kerasgpt.data.segments import segments_and_positions


def test_documents_are_numbered_and_their_positions_begin_anew():
    ids = np.array([[5, 9, 6, 7, 9, 9, 8], [9, 5, 6, 7, 8, 5, 6], [1, 2, 3, 4, 5, 6, 7]])
    found = segments_and_positions(ids, 9)
    for row, segments, positions in zip(ids, found["segment_ids"], found["position_ids"], strict=True):
        segment, position = 0, -1
        for place, index in enumerate(row):
            segment, position = (segment + 1, 0) if index == 9 else (segment, position + 1)
            assert (segments[place], positions[place]) == (segment, position)
