"""Recipes: every name checked, every type checked."""

import glob
import os

import pytest

from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.training.config import DataConfig, Recipe
from kerasgpt.training.model_settings import ModelConfig
from kerasgpt.training.settings import LoraConfig, TrainConfig

TOML = """
[data]
paths = ["a.txt", "b.jsonl"]
test_fraction = 0.1
[model]
preset = "gpt-nano"
dropout = 0.2
attention_dropout = 0
[train]
steps = 7
learning_rate = 1
jit_compile = true
"""


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(TOML)
    return path


def test_a_file_and_settings_become_a_recipe(toml):
    recipe = Recipe.from_toml(toml, ["train.steps=9", "model.num_layers = 3", "data.tokenizer=gpt2"])
    assert recipe.data.paths == ("a.txt", "b.jsonl")
    assert (recipe.train.steps, recipe.train.learning_rate, recipe.train.jit_compile) == (9, 1.0, True)
    assert isinstance(recipe.train.learning_rate, float)
    assert recipe.data.tokenizer == "gpt2"
    assert recipe.model.overrides() == {
        "dropout": 0.2,
        "embedding_dropout": 0.2,
        "attention_dropout": 0.0,
        "num_layers": 3,
    }


def test_a_recipe_written_out_reads_back_the_same(toml, tmp_path):
    recipe = Recipe.from_toml(
        toml, ['data.paths=["quo\\"te.txt", "né.txt"]', 'train.sample_prompt="\\n\\u007f"']
    )
    (tmp_path / "again.toml").write_text(recipe.to_toml())
    again = Recipe.from_toml(tmp_path / "again.toml")
    assert again == recipe
    assert again.differences(recipe) == []


def test_resolving_settles_defaults_and_is_idempotent(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.from_dict({"data": {"paths": "a.txt"}}).resolved()
    assert recipe.data.paths == (os.path.join(os.getcwd(), "a.txt"),)
    assert (recipe.model.preset, recipe.data.tokenizer) == ("gpt-mini", "learn")
    assert recipe.resolved() == recipe
    assert Recipe.from_dict({"model": {"preset": "gpt2"}}).resolved().data.tokenizer == "gpt2"
    begun = Recipe.from_dict({"model": {"init": "folder"}}).resolved()
    assert begun.data.tokenizer == begun.model.init == os.path.join(os.getcwd(), "folder")


def test_a_relative_pattern_is_one_of_the_working_folder_and_a_tasks_files_are_no_patterns(
    monkeypatch, tmp_path
):
    (tmp_path / "exp[12]").mkdir()
    monkeypatch.chdir(tmp_path / "exp[12]")
    values = {"data": {"paths": ["*.txt", "/data/*.txt"]}}
    resolved = Recipe.from_dict(values).resolved()
    assert resolved.data.paths == (glob.escape(os.getcwd()) + "/*.txt", "/data/*.txt")
    assert resolved.resolved() == resolved
    values = {"data": {"paths": "a.jsonl"}, "task": {"name": "completion", "validation_paths": "b.jsonl"}}
    resolved = Recipe.from_dict(values).resolved()
    assert resolved.data.paths == (os.path.abspath("a.jsonl"),)
    assert resolved.task.validation_paths == (os.path.abspath("b.jsonl"),)


def test_a_name_that_no_recipe_can_spell_is_refused():
    name = os.fsdecode(b"caf\xe9.txt")
    prompt = Recipe.from_dict({"train": {"sample_prompt": "caf\udce9"}})
    with pytest.raises(UsageError, match=r"train\.sample_prompt is 'caf\?': it must be a text in UTF-8"):
        prompt.resolved()
    with pytest.raises(UsageError, match=r"caf\\udce9\.txt: its name is not UTF-8"):
        Recipe.from_dict({"data": {"paths": [name]}}).resolved()


def test_all_differences_are_named_with_both_values(toml):
    other = Recipe.from_toml(toml, ["train.seed=5", "model.num_heads=4", "data.tokenizer=gpt2"])
    assert Recipe.from_toml(toml).differences(other) == [
        'data.tokenizer: "auto" -> "gpt2"',
        "model.num_heads: unset -> 4",
        "train.seed: 0 -> 5",
    ]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.step=3", "unknown setting 'train.step': did you mean 'train.steps'"),
        ("trian.steps=3", "unknown section 'trian': did you mean 'train'"),
        ("model.layers=3", "did you mean 'model.num_layers'"),
        ("train.steps", "write it as section.key=value"),
        ("steps=3", "write it as section.key=value"),
        ("train.steps=many", "train.steps is 'many': it must be a whole number"),
        ("train.steps=1.5", "it must be a whole number"),
        ("train.steps=true", "it must be a whole number"),
        ("train.learning_rate='a'", "it must be a number"),
        ("train.jit_compile='on'", 'true, false or "auto"'),
        ("data.paths=3", "it must be a list of texts"),
        ("data.paths=[1]", "it must be a list of texts"),
        ("data.errors=ignore", "unknown data.errors 'ignore'"),
        ("data.split=tial", "did you mean 'tail'"),
        ("data.weights=[1, 2]", "0 paths and 2 weights: give one weight for each path"),
        ("data.test_fraction=1.5", "in \\[0, 1\\)"),
        ("model.preset=gtp2", "did you mean 'gpt2'"),
        ("train.precision=float16", "unknown precision 'float16'"),
        ("train.steps=0", "at least 1"),
        ("train.learning_rate=-1", "0 or more"),
    ],
)
def test_wrong_settings_are_sentences(setting, sentence):
    with pytest.raises(UsageError, match=sentence):
        Recipe.from_dict({}, [setting])


def test_unreadable_files_are_sentences(tmp_path):
    with pytest.raises(KerasGPTError, match="cannot read"):
        Recipe.from_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[train\n")
    with pytest.raises(KerasGPTError, match="not valid TOML"):
        Recipe.from_toml(tmp_path / "bad.toml")
    (tmp_path / "flat.toml").write_text("steps = 3")
    with pytest.raises(UsageError, match="unknown section 'steps'"):
        Recipe.from_toml(tmp_path / "flat.toml")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["train.soft_prompt_tokens=4"], "a soft prompt needs a model that stays as it is"),
        (["train.soft_prompt_tokens=-1"], "0 or more"),
        (["train.soft_prompt_tokens=4", "model.init=x", "lora.rank=2"], "lora.rank is set"),
        (["train.soft_prompt_tokens=4", "model.init=x", "train.refit_steps=2"], "refit_steps is set"),
        (["train.soft_prompt_tokens=4", "model.init=x", "data.document_mask=true"], "mask is set"),
    ],
)
def test_a_soft_prompt_is_trained_alone(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        Recipe.from_dict({}, settings)


def test_sequences_of_any_kind_are_one_recipe(tmp_path):
    settings = {"paths": [tmp_path / "a.txt", "b.txt"], "weights": [1, 2]}
    given = Recipe(DataConfig(**settings), ModelConfig(), TrainConfig(freeze=["wte.weight"]))
    read = Recipe.from_dict(
        {
            "data": {"paths": [str(tmp_path / "a.txt"), "b.txt"], "weights": [1.0, 2.0]},
            "train": {"freeze": ["wte.weight"]},
        }
    )
    assert given.differences(read) == []
    assert given == read
    assert DataConfig(paths="a.txt", weights=None).paths == ("a.txt",)
    assert LoraConfig(targets="c_fc").targets == ("c_fc",)


def test_a_task_that_is_no_table_is_told_to_be_one():
    with pytest.raises(UsageError, match=r"task is 'translation': it must be a table, \[task\] and its"):
        Recipe.from_dict({"task": "translation"})


def test_a_refits_rate_never_rises_above_its_own():
    settings = TrainConfig(
        learning_rate=1e-2, final_learning_rate=1e-3, refit_steps=6, refit_learning_rate=1e-4
    )
    again = Recipe(DataConfig(paths=("a.txt",)), train=settings).refit("model").train
    assert (again.learning_rate, again.final_learning_rate) == (1e-4, 1e-4)
