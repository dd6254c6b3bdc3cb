import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.generation import chooser
from kerasgpt.generation.chooser import Chooser, settings_of_rows
from kerasgpt.generation.rows import Row
from kerasgpt.generation.samplers import sample
from kerasgpt.generation_config import GenerationConfig

GREEDY, SAMPLED = GenerationConfig(), GenerationConfig(temperature=1.5, top_k=30)
PENALISED = GenerationConfig(repetition_penalty=9.0)
SETTINGS = [GREEDY, SAMPLED, PENALISED, SAMPLED, GREEDY, GenerationConfig(temperature=1.5, top_k=30, seed=8)]
LOGITS = np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32)


@pytest.fixture
def rows() -> list[Row]:
    """Rows that have written 1, 2, ... tokens, the least likely ones first."""
    rows = [Row(n, [n], own, 40 + own.seed + n, context=64) for n, own in enumerate(SETTINGS)]
    for row, logits in zip(rows, LOGITS, strict=True):
        for index in np.argsort(-logits)[: row.number + 1]:
            row.append(int(index))
    return rows


@pytest.mark.parametrize("members", [[0, 1, 2, 3, 4, 5], [1, 3, 5], [2], [0, 5]], ids=str)
def test_each_row_is_chosen_for_by_its_own_settings(rows: list[Row], members: list[int]) -> None:
    chosen = Chooser([rows[member] for member in members], 0).choose(LOGITS[members])
    for member, index in zip(members, chosen.tolist(), strict=True):
        row, seed = rows[member], np.array([rows[member].seed], np.uint64)
        logits = LOGITS[member : member + 1]
        assert [index] == sample(logits, row.settings, seed, row.num_written, [row.text], 0).tolist()


def test_a_row_draws_by_how_much_it_has_written(rows: list[Row]) -> None:
    drawn = set()
    for _ in range(20):
        drawn.add(int(Chooser([rows[1]], 0).choose(LOGITS[1:2])[0]))
        rows[1].append(0)
    assert len(drawn) > 5


def test_rows_of_equal_settings_are_chosen_for_at_once(
    rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def spy(logits, *rest):
        sizes.append(len(logits))
        return sample(logits, *rest)

    monkeypatch.setattr(chooser, "sample", spy)
    Chooser(rows, 0).choose(LOGITS)
    assert sorted(sizes) == [1, 2, 3]  # the seed makes no difference


def test_settings_of_rows() -> None:
    assert settings_of_rows(GREEDY, 2) == [GREEDY, GREEDY]
    assert settings_of_rows((GREEDY, SAMPLED), 2) == [GREEDY, SAMPLED]
    with pytest.raises(UsageError, match="2 settings for 3 prompts: give one for all, or one of each"):
        settings_of_rows([GREEDY, SAMPLED], 3)


@pytest.mark.parametrize("wrong", [{"top_k": 3}, "greedy", 3, [{"top_k": 3}], [None]], ids=str)
def test_what_is_no_settings_is_refused(wrong) -> None:
    with pytest.raises(UsageError, match=r"settings is .*: it must be a GenerationConfig"):
        settings_of_rows(wrong, 1)
