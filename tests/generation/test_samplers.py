import numpy as np
import pytest

from kerasgpt.generation import samplers
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig

WORD = 0xFFFFFFFF


def integer_threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32-20 in plain integers, one round at a time as in the paper's algorithm."""
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    schedule = [key[0], key[1], 0x1BD11BDA ^ key[0] ^ key[1]]
    x0, x1 = (counter[0] + schedule[0]) & WORD, (counter[1] + schedule[1]) & WORD
    for round_number in range(20):
        x0 = (x0 + x1) & WORD
        distance = rotations[round_number % 8]
        x1 = ((x1 << distance) | (x1 >> (32 - distance))) & WORD
        x1 ^= x0
        if round_number % 4 == 3:
            injection = round_number // 4 + 1
            x0 = (x0 + schedule[injection % 3]) & WORD
            x1 = (x1 + schedule[(injection + 1) % 3] + injection) & WORD
    return x0, x1


def choose(logits, settings, seeds, step, text=(0,)) -> np.ndarray:
    texts = [Text(np.array(text), len(text))] * len(logits)
    return samplers.sample(logits, settings, seeds, step, texts, end_of_text_id=0)


def words(*values: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = values
    return np.array([first], np.uint32), np.array([second], np.uint32)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((WORD, WORD), (WORD, WORD), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_answers(key: tuple, counter: tuple, expected: tuple) -> None:
    assert integer_threefry(key, counter) == expected
    got = samplers.threefry2x32(words(*key), words(*counter))
    assert (int(got[0][0]), int(got[1][0])) == expected


def test_uniform_equals_plain_integers() -> None:
    seeds = [0, 1, 5, 2**32 - 1, 2**32, 2**63 + 12345, 2**64 - 1]
    for step in (0, 1, 63, 1023, 2**31):
        got = samplers.uniform(np.array(seeds, np.uint64), step)
        assert got.dtype == np.float32
        for seed, number in zip(seeds, got.tolist(), strict=True):
            word, _ = integer_threefry((seed & WORD, seed >> 32), (step, 0))
            assert number == (word >> 8) / 2**24


@pytest.mark.parametrize("axis", ["seeds", "steps"])
def test_uniform_is_uniform(axis: str) -> None:
    if axis == "seeds":
        numbers = samplers.uniform(samplers.seeds_of_rows([7] * 20_000), 3)
    else:
        numbers = np.concatenate(
            [samplers.uniform(samplers.seeds_of_rows([7] * 10), s) for s in range(2_000)]
        )
    counts, _ = np.histogram(numbers, bins=100, range=(0, 1))
    chi_square = float(((counts - 200.0) ** 2 / 200.0).sum())
    assert 57.1 < chi_square < 161.3  # the 0.0002 quantiles on both sides of 99 degrees of freedom
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03
    assert numbers.min() >= 0
    assert numbers.max() < 1


def test_seeds_of_rows_count_up_and_wrap() -> None:
    assert samplers.seeds_of_rows([5, 5, 5]).tolist() == [5, 6, 7]
    assert samplers.seeds_of_rows([-1, -1]).tolist() == [2**64 - 1, 0]


def test_greedy_takes_the_lowest_id_among_equals() -> None:
    assert samplers.greedy(np.array([[1, 7, 7], [2, 2, 2]], np.float32)).tolist() == [1, 0]


def test_sampled_frequencies_follow_the_probabilities() -> None:
    probabilities = np.array([0.05, 0.4, 0.1, 0.25, 0.2])
    logits = np.tile(np.log(probabilities).astype(np.float32), (20_000, 1))
    settings = GenerationConfig(temperature=1.0)
    chosen = choose(logits, settings, samplers.seeds_of_rows([11] * len(logits)), step=0)
    counts = np.bincount(chosen, minlength=5)
    expected = probabilities * len(logits)
    assert float(((counts - expected) ** 2 / expected).sum()) < 18.5  # 0.999 quantile, 4 degrees of freedom


def test_temperature_and_filters_shape_the_draw() -> None:
    logits = np.tile(np.array([0.0, 1.0, 2.0, 3.0], np.float32), (4000, 1))
    seeds = samplers.seeds_of_rows([0] * 4000)
    sharp = choose(logits, GenerationConfig(temperature=0.01), seeds, 0)
    assert set(sharp.tolist()) == {3}
    cut = choose(logits, GenerationConfig(temperature=5.0, top_k=2), seeds, 0)
    assert set(cut.tolist()) == {2, 3}


def test_a_row_draws_the_same_alone_and_among_others() -> None:
    logits = np.random.default_rng(5).normal(size=(6, 50)).astype(np.float32)
    settings = GenerationConfig(temperature=1.0, top_p=0.9)
    seeds = samplers.seeds_of_rows([42] * 6)
    together = choose(logits, settings, seeds, step=9)
    alone = [choose(logits[i : i + 1], settings, seeds[i : i + 1], step=9)[0] for i in range(6)]
    assert together.tolist() == alone


def test_the_penalty_reaches_the_greedy_choice() -> None:
    logits = np.array([[2.0, 1.9]], np.float32)
    settings = GenerationConfig(repetition_penalty=1.5)
    assert choose(logits, settings, samplers.seeds_of_rows([0]), 0, text=[0]).tolist() == [1]
    assert choose(logits, settings, samplers.seeds_of_rows([0]), 0, text=[1]).tolist() == [0]


def test_each_row_has_a_step_of_its_own() -> None:
    seeds, steps = np.array([1, 2, 1], np.uint64), np.array([5, 0, 9])
    alone = [samplers.uniform(seeds[row : row + 1], int(steps[row]))[0] for row in range(3)]
    assert samplers.uniform(seeds, steps).tolist() == alone
    assert len(set(alone)) == 3
    for step in (0, 1, 63, 64, 65, 1000):
        assert samplers.drawn(2**64 - 1, step) == samplers.uniform(np.array([2**64 - 1], np.uint64), step)[0]
