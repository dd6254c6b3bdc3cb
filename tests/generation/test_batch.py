"""Whoever comes or goes, each row gets the tokens that it gets alone."""

import numpy as np
import pytest

from kerasgpt.generation.batch import Batch, filled_holes
from kerasgpt.generation.decode import decode
from kerasgpt.generation.prefill import Prefill
from kerasgpt.generation.rows import Row
from kerasgpt.generation.samplers import seeds_of_rows
from kerasgpt.generation_config import GenerationConfig

END = 256
SETTINGS = [
    GenerationConfig(max_new_tokens=9),
    GenerationConfig(max_new_tokens=14, temperature=1.0, top_k=30, seed=3),
    GenerationConfig(max_new_tokens=4, repetition_penalty=1.5),
    GenerationConfig(max_new_tokens=12, temperature=0.7, top_p=0.8, seed=5),
    GenerationConfig(max_new_tokens=1),
    GenerationConfig(max_new_tokens=7, no_repeat_ngram_size=1),
]
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10], [11, 12], [13], [14, 15]]


def alone(model, number: int) -> list[tuple[int, float]]:
    seeds = seeds_of_rows([SETTINGS[number].seed])
    steps = decode(model, [PROMPTS[number]], SETTINGS[number], END, row_seeds=seeds)
    return [(token.id, token.logprob) for (token,) in steps]


@pytest.mark.parametrize("arrivals", [[0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5], [0, 0, 20, 3, 7, 1]], ids=str)
def test_rows_that_come_and_go_are_what_they_are_alone(random_model, arrivals: list[int]) -> None:
    batch, written = Batch(random_model, END), {number: [] for number in range(6)}
    for step in range(40):
        coming = [number for number in range(6) if arrivals[number] == step]
        tokens = []
        if coming:
            rows = [Row(n, PROMPTS[n], SETTINGS[n], SETTINGS[n].seed, 64) for n in coming]
            tokens += batch.add(rows, *Prefill(random_model).read([row.prompt for row in rows]))
        if len(batch):
            tokens += batch.step()
        for token in tokens:
            written[token.row].append((token.id, token.logprob))
    assert len(batch) == 0
    for number in range(6):
        assert written[number] == alone(random_model, number)


def test_a_row_that_is_removed_does_not_disturb_the_others(random_model) -> None:
    rows = [Row(n, PROMPTS[n], SETTINGS[n], SETTINGS[n].seed, 64) for n in range(4)]
    batch = Batch(random_model, END)
    tokens = batch.add(rows, *Prefill(random_model).read([row.prompt for row in rows]))
    tokens += batch.step()
    batch.remove({0, 7})
    assert len(batch) == 3
    while len(batch):
        tokens += batch.step()
    assert sum(token.row == 0 for token in tokens) == 2
    for number in range(1, 4):
        own = [(token.id, token.logprob) for token in tokens if token.row == number]
        assert own == alone(random_model, number)
    batch.remove({1})


def test_the_last_rows_move_into_the_holes() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        places = np.flatnonzero(generator.random(9) < 0.6).tolist()
        order = filled_holes(places).tolist()
        assert sorted(order) == places
        assert all(place == number or place >= len(places) for number, place in enumerate(order))
