import numpy as np
import pytest

from kerasgpt.export import quantization
from kerasgpt.export.quantization import BLOCK_SIZES, SHRINKAGES, block_size_of, quantize

MATRIX = np.random.default_rng(0).normal(0, 0.02, (24, 256)).astype(np.float32)


def naive_round_trip(block, bits):
    """Quantise one block by the definition, one number at a time, and give what the integers stand for."""
    middle = 2 ** (bits - 1)
    extreme = max(block, key=abs)
    if extreme == 0:
        return [0.0] * len(block)
    scale = extreme / -middle
    return [min(max(round(value / scale), -middle), middle - 1) * scale for value in block]


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_eight_bits_round_to_the_nearest(block_size):
    found = quantize(MATRIX, 8, block_size)
    assert found.packed.shape == (24, 256 // block_size, block_size)
    assert (found.packed.dtype, found.scales.dtype) == (np.uint8, np.float32)
    assert found.block_size == block_size
    for row, expected in zip(found.dequantized(), MATRIX.astype(np.float64), strict=True):
        blocks = expected.reshape(-1, block_size).tolist()
        np.testing.assert_allclose(
            row.reshape(-1, block_size), [naive_round_trip(b, 8) for b in blocks], atol=1e-7
        )


def error(bits, **options):
    return np.square(quantize(MATRIX, bits, **options).dequantized() - MATRIX).mean()


def test_four_bits_search_the_scale_of_least_error(monkeypatch):
    searched = error(4, block_size=64)
    monkeypatch.setitem(SHRINKAGES, 4, (1.0,))
    plain = error(4, block_size=64)
    blocks = MATRIX.astype(np.float64).reshape(-1, 64)
    naive = np.mean([np.square(np.array(naive_round_trip(b.tolist(), 4)) - b).mean() for b in blocks])
    assert plain == pytest.approx(naive, rel=1e-4)
    assert searched < 0.95 * plain


def test_smaller_blocks_and_more_bits_lose_less():
    errors = [error(4, block_size=size) for size in BLOCK_SIZES]
    assert errors == sorted(errors, reverse=True)
    assert error(8) < errors[-1] / 50


def test_four_bits_lie_two_in_a_byte_the_earlier_one_below():
    found = quantize(np.array([[*range(-8, 8)]], np.float32), 4, 16)
    assert found.scales.item() == 1
    assert [byte & 15 for byte in found.packed[0, 0].tolist()] == list(range(0, 16, 2))
    assert [byte >> 4 for byte in found.packed[0, 0].tolist()] == list(range(1, 16, 2))
    np.testing.assert_array_equal(found.dequantized(), [[*range(-8, 8)]])


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros_and_odd_widths_are_filled_up(bits):
    found = quantize(np.zeros((3, 40), np.float32), bits)
    assert found.packed.shape == (3, 3, 2 * bits)
    np.testing.assert_array_equal(found.dequantized(), np.zeros((3, 40)))
    assert np.isfinite(found.scales).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_in_pieces_it_is_the_same(bits, monkeypatch):
    whole = quantize(MATRIX, bits)
    monkeypatch.setattr(quantization, "CHUNK", 1000)
    pieces = quantize(MATRIX, bits)
    np.testing.assert_array_equal(pieces.packed, whole.packed)
    np.testing.assert_array_equal(pieces.scales, whole.scales)


def test_the_largest_block_that_fits():
    assert [block_size_of(n) for n in (768, 1600, 48, 40)] == [128, 64, 16, 16]
    assert block_size_of(768, largest=32) == 32
