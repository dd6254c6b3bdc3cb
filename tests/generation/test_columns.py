import numpy as np

from kerasgpt.generation.columns import counting_columns, packed, packed_mask


def test_rows_end_at_the_right_edge() -> None:
    masks = [np.array([[1, 1, 0, 1], [1, 0, 0, 0]]), np.array([[1, 1]])]
    caches = [np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2), -np.arange(1 * 3 * 2 * 2).reshape(1, 3, 2, 2)]
    columns = counting_columns(masks)
    joint = packed(caches, columns)
    assert joint.shape == (3, 3, 3, 2)
    np.testing.assert_array_equal(joint[0], caches[0][0][:, [0, 1, 3]])
    np.testing.assert_array_equal(joint[1, :, 2], caches[0][1][:, 0])
    np.testing.assert_array_equal(joint[2, :, 1:], caches[1][0])
    assert packed_mask(columns).tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert not joint[packed_mask(columns)[:, None].repeat(3, axis=1) == 0].any()
