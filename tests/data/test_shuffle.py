"""A computed order: each item once, and no order to be seen in it."""

import numpy as np
import pytest

from kerasgpt.data.shuffle import Permutation


@pytest.mark.parametrize("num_items", [*range(1, 70), 255, 256, 257, 1023, 4097, 65536, 100_003])
def test_each_item_comes_once(num_items):
    for entropy in ([0], [1, 2, 3]):
        images = Permutation(num_items, entropy)(np.arange(num_items))
        np.testing.assert_array_equal(np.sort(images), np.arange(num_items))


def test_an_image_depends_on_the_number_alone():
    permutation = Permutation(10_000, [5])
    images = permutation(np.arange(10_000))
    picked = np.array([[77, 3], [9_999, 77]])
    np.testing.assert_array_equal(permutation(picked), images[picked])
    np.testing.assert_array_equal(Permutation(10_000, [5])(np.arange(10_000)), images)


def written_out(number, num_items, entropy):
    """The definition in Python's integers, one number at a time."""
    half = max(1, -(-(num_items - 1).bit_length() // 2))
    keys = [int(key) for key in np.random.SeedSequence(entropy).generate_state(6, np.uint64)]
    while True:
        left, right = divmod(number, 1 << half)
        for key in keys:
            mixed = right ^ key
            mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
            left, right = right, left ^ (mixed ^ mixed >> 31) % (1 << half)
        number = (left << half) + right
        if number < num_items:
            return number


@pytest.mark.parametrize("num_items", [1, 2, 3, 17, 1000, 65_536, 1_000_003])
def test_the_order_is_the_one_defined(num_items):
    numbers = np.unique(np.linspace(0, num_items - 1, 50).astype(int))
    expected = [written_out(int(number), num_items, [7, 1]) for number in numbers]
    assert Permutation(num_items, [7, 1])(numbers).tolist() == expected


def test_orders_of_other_entropy_have_nothing_in_common():
    size = 50_000
    orders = [Permutation(size, [seed, epoch])(np.arange(size)) for seed in (0, 1) for epoch in (0, 1)]
    for place, order in enumerate(orders):
        for other in orders[:place]:
            assert (order == other).sum() < 10  # one is to be expected
            assert abs(np.corrcoef(order, other)[0, 1]) < 5 / size**0.5


@pytest.mark.parametrize("size", [40_000, 65_536, 70_001])
def test_no_order_is_left(size):
    """Each measure is within five standard deviations of what it is for a random permutation."""
    images = Permutation(size, [1, 2])(np.arange(size))
    assert abs(np.corrcoef(np.arange(size), images)[0, 1]) < 5 / size**0.5
    for lag in (1, 2, 16, 256):
        assert abs(np.corrcoef(images[:-lag], images[lag:])[0, 1]) < 5 / size**0.5
    assert (images == np.arange(size)).sum() < 7
    rises = (np.diff(images) > 0).mean()
    assert abs(rises - 0.5) < 5 * (1 / 12 / size) ** 0.5
    counts = np.histogram2d(np.arange(size), images, bins=20)[0]  # where each stretch goes to
    chi_squared = ((counts - size / 400) ** 2 / (size / 400)).sum()
    assert abs(chi_squared - 361) < 5 * (2 * 361) ** 0.5
    parity = (images[:-1] ^ images[1:]) & 1
    assert abs(parity.mean() - 0.5) < 5 * 0.5 / size**0.5


def test_over_many_seeds_every_place_is_as_likely():
    """So it must be also where the network has the fewest bits."""
    size, num_seeds = 6, 3000
    images = np.array([Permutation(size, [seed])(np.arange(size)) for seed in range(num_seeds)])
    counts = np.array([np.bincount(column, minlength=size) for column in images.T])
    chi_squared = ((counts - num_seeds / size) ** 2 / (num_seeds / size)).sum()
    assert chi_squared < 25 + 5 * 50**0.5


def test_a_number_beyond_memory_is_no_matter():
    permutation = Permutation(10**12, [3])
    images = permutation(np.arange(10**12 - 1000, 10**12))
    assert len(np.unique(images)) == 1000
    assert images.min() >= 0
    assert images.max() < 10**12
    assert images.std() == pytest.approx(10**12 / 12**0.5, rel=0.1)
