import numpy as np
import pytest
from onnxruntime.quantization.neural_compressor import weight_only

from kerasgpt.export.gptq import DAMPING, gptq
from kerasgpt.export.quantization import quantize

GENERATOR = np.random.default_rng(0)
MATRIX = GENERATOR.normal(0, 0.02, (40, 96)).astype(np.float32)
MIXED = GENERATOR.normal(size=(96, 96)) * np.exp(GENERATOR.normal(size=(96, 1)))
INPUTS = GENERATOR.normal(size=(2000, 96)) @ MIXED + 0.3  # correlated, and not around 0


def loss(matrix):
    """How far a matrix's answers are from those of the one that was rounded."""
    return np.square(INPUTS @ (matrix - MATRIX).T).sum() / np.square(INPUTS @ MATRIX.T).sum()


def column_by_column(matrix, products, scales, bits):
    """Optimal brain quantisation of one row after another, the inverse being updated in each step."""
    middle, answer = 2 ** (bits - 1), np.empty_like(matrix, np.float64)
    damped = products + np.eye(len(products)) * DAMPING * np.diag(products).mean()
    order = np.argsort(-np.diag(products), kind="stable")
    for number, row in enumerate(matrix.astype(np.float64)):
        inverse = np.linalg.inv(damped)
        for column in order:
            scale = scales[number, column]
            rounded = np.clip(np.rint(row[column] / scale), -middle, middle - 1) * scale
            row -= inverse[:, column] * (row[column] - rounded) / inverse[column, column]
            answer[number, column] = rounded
            row[column] = rounded
            inverse -= np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
            inverse[column, column] = 1  # settled: nothing is taken off it any more
    return answer


@pytest.mark.parametrize("block_size", [16, 32])
def test_it_is_optimal_brain_quantisation_column_by_column(block_size):
    products = INPUTS.T @ INPUTS
    found = gptq(MATRIX, products, 4, block_size)
    scales = np.repeat(quantize(MATRIX, 4, block_size).scales, block_size, axis=1)
    expected = column_by_column(MATRIX, products, scales, 4)
    # Sums in another order turn a tie the other way here and there; what follows makes up for it.
    equal = np.abs(found.dequantized() - expected) < 1e-6
    assert equal.mean() > 0.99
    assert loss(found.dequantized()) == pytest.approx(loss(expected), rel=0.02)


@pytest.mark.parametrize("bits", [4, 8])
def test_it_loses_less_than_half_of_what_rounding_to_the_nearest_loses(bits):
    by_inputs = gptq(MATRIX, INPUTS.T @ INPUTS, bits).dequantized()
    assert loss(by_inputs) < 0.5 * loss(quantize(MATRIX, bits).dequantized())


def test_it_loses_no_more_than_onnxruntimes_own():
    products = INPUTS.T @ INPUTS
    theirs = weight_only.gptq(
        MATRIX.T.astype(np.float64), products.copy(), num_bits=4, group_size=32, scheme="sym", actorder=True
    )
    assert loss(gptq(MATRIX, products, 4, 32).dequantized()) <= loss(theirs.T)


def test_inputs_that_say_nothing_leave_rounding_to_the_nearest():
    nearest = quantize(MATRIX, 4)
    for products in (np.zeros((96, 96)), np.eye(96)):
        found = gptq(MATRIX, products, 4)
        np.testing.assert_array_equal(found.packed, nearest.packed)
        np.testing.assert_array_equal(found.scales, nearest.scales)


def test_a_last_block_that_is_not_full_and_many_rows():
    matrix = np.random.default_rng(1).normal(size=(1500, 40)).astype(np.float32)  # no block size divides 40
    inputs = np.random.default_rng(2).normal(size=(300, 40))
    found = gptq(matrix, inputs.T @ inputs, 4)
    assert found.dequantized().shape == (1500, 40)
    few = gptq(matrix[:7], inputs.T @ inputs, 4)
    np.testing.assert_array_equal(few.packed, found.packed[:7])
