"""The page of settings says what the code does."""

import dataclasses
from pathlib import Path

from kerasgpt.training.config import DataConfig
from kerasgpt.training.manual import explanations, manual
from kerasgpt.training.settings import TrainConfig

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def test_the_page_is_the_one_that_the_code_writes():
    assert PAGE.read_text() == manual(), "write it anew: python -m kerasgpt.training.manual > docs/recipes.md"


def test_each_setting_of_a_recipe_has_a_row_with_its_default():
    page = manual()
    assert "| `learning_rate` | `0.001` | at its highest. |" in page
    assert "| `preset` |  | a size of" in page
    for cls, section in ((DataConfig, "data"), (TrainConfig, "train")):
        table = page.partition(f"## [{section}]")[2].partition("\n## ")[0]
        for field in dataclasses.fields(cls):
            assert table.count(f"| `{field.name}` |") == 1, field.name


def test_an_explanation_is_one_line_whatever_the_docstring_has():
    explained = explanations(TrainConfig)
    assert all("\n" not in text and text for text in explained.values())
    assert explained["ema_decay"].endswith("such as 0.999; 0 means none.")
