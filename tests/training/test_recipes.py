"""The packaged recipes: each can be read, says what it is, and makes a model of the size it states."""

import re

import pytest

from kerasgpt.commands.train import RECIPES
from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import Recipe
from kerasgpt.training.learner import model_config
from kerasgpt.training.lengths import stages
from kerasgpt.training.model_settings import ModelConfig
from kerasgpt.training.recipes import packaged_recipes, recipe_file

NAMES = [
    "completion",
    "copying",
    "finetune-lora",
    "gpt2-124m-owt",
    "question-answering",
    "shakespeare-bpe",
    "shakespeare-char",
    "summarization",
    "tinystories-10m",
    "tinystories-6m",
    "translation",
    "wikitext-124m",
]


def test_these_are_there_and_the_help_names_them():
    assert sorted(packaged_recipes()) == NAMES == list(RECIPES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_sound_and_states_command_time_and_score(name):
    text = packaged_recipes()[name].read_text()
    for line in ("# Command: ", "# Time: ", "# Score: "):
        assert text.count(f"\n{line}") == 1
    assert f"train --config {name} " in text
    overrides = ["model.init=folder"] if name == "finetune-lora" else []
    recipe = Recipe.from_toml(packaged_recipes()[name], overrides)
    stages(recipe.train)
    assert recipe.resolved().data.tokenizer in ("learn", "gpt2") or overrides


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("shakespeare-char", 10.8),
        ("tinystories-10m", 9.3),
        ("tinystories-6m", 5.9),
        ("wikitext-124m", 124.4),
        ("gpt2-124m-owt", 124.4),
    ],
)
def test_a_model_has_about_the_size_it_is_said_to_have(name, millions):
    recipe = Recipe.from_toml(packaged_recipes()[name])
    if recipe.model.preset:
        model, tokenizer = recipe.model, Tokenizer.from_preset("gpt2")
    else:
        fields = {**recipe.model.fields, "vocabulary_size": recipe.data.vocabulary_size}
        model, tokenizer = ModelConfig(fields=fields), Tokenizer.learn(["a"], 257)
    config = model_config(model, recipe.train.sequence_length, tokenizer)
    assert config.num_parameters / 1e6 == pytest.approx(millions, abs=0.1)
    stated = re.search(r"([\d.]+) million", packaged_recipes()[name].read_text())
    assert stated is None or float(stated.group(1)) == pytest.approx(millions, abs=0.5)


def test_a_name_or_a_file_is_found_and_a_misspelt_name_is_told(tmp_path, monkeypatch):
    assert recipe_file("shakespeare-bpe") == packaged_recipes()["shakespeare-bpe"]
    (tmp_path / "mine.toml").touch()
    assert recipe_file(str(tmp_path / "mine.toml")) == tmp_path / "mine.toml"
    assert recipe_file("none.toml").name == "none.toml"  # reading it says that it is not there
    (tmp_path / "copying").mkdir()
    monkeypatch.chdir(tmp_path)
    assert recipe_file("copying") == packaged_recipes()["copying"]
    with pytest.raises(UsageError, match="unknown recipe 'shakespeare-chr': did you mean 'shakespeare-char'"):
        recipe_file("shakespeare-chr")
