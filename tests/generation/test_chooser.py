import numpy as np
import pytest

from kerasgpt.config import GenerationConfig
from kerasgpt.errors import UsageError
from kerasgpt.generation import chooser
from kerasgpt.generation.chooser import Chooser, settings_of_rows
from kerasgpt.generation.samplers import sample, seeds_of_rows
from kerasgpt.generation.texts import Text

GREEDY, SAMPLED = GenerationConfig(), GenerationConfig(temperature=1.5, top_k=30)
PENALISED = GenerationConfig(repetition_penalty=9.0)
SETTINGS = [GREEDY, SAMPLED, PENALISED, SAMPLED, GREEDY, GenerationConfig(temperature=1.5, top_k=30, seed=8)]
SEEDS = seeds_of_rows(own.seed for own in SETTINGS)
LOGITS = np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32)
TEXTS = [Text(np.argsort(-row)[:3], 1) for row in LOGITS]


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [1, 3, 5], [2], [0, 5]], ids=str)
def test_each_row_is_chosen_for_by_its_own_settings(rows: list[int]) -> None:
    texts = [TEXTS[row] for row in rows]
    chosen = Chooser(SETTINGS, SEEDS, 0).choose(LOGITS[rows], np.array(rows), 7, texts)
    for row, index in zip(rows, chosen.tolist(), strict=True):
        alone = sample(LOGITS[row : row + 1], SETTINGS[row], SEEDS[row : row + 1], 7, [TEXTS[row]], 0)
        assert [index] == alone.tolist()


def test_rows_of_equal_settings_are_chosen_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def spy(logits, *rest):
        sizes.append(len(logits))
        return sample(logits, *rest)

    monkeypatch.setattr(chooser, "sample", spy)
    Chooser(SETTINGS, SEEDS, 0).choose(LOGITS, np.arange(6), 0, TEXTS)
    assert sorted(sizes) == [1, 2, 3]  # the seed makes no difference


def test_settings_of_rows() -> None:
    assert settings_of_rows(GREEDY, 2) == [GREEDY, GREEDY]
    assert settings_of_rows((GREEDY, SAMPLED), 2) == [GREEDY, SAMPLED]
    with pytest.raises(UsageError, match="2 settings for 3 prompts: give one for all, or one of each"):
        settings_of_rows([GREEDY, SAMPLED], 3)
