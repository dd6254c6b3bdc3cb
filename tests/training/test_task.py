import pytest

from kerasgpt.errors import UsageError
from kerasgpt.tasks.templates import DEFAULTS
from kerasgpt.training.config import Recipe
from kerasgpt.training.task import TaskConfig


def test_what_is_unset_is_the_tasks_own():
    assert TaskConfig("translation").template() == DEFAULTS["translation"]
    template = TaskConfig(
        "translation", prompt="{source} =>", answer="{answer}!", max_new_tokens=9
    ).template()
    assert (template.prompt, template.answer, template.max_new_tokens) == ("{source} =>", "{answer}!", 9)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["task.name=translating"], "unknown task 'translating': did you mean 'translation'"),
        (["task.name=translation", "task.prompt='x'"], "must have {source} in it"),
        (["task.prompt='{source}'"], "task.prompt is set and task.name is not"),
        (["task.name=completion", "task.prompt_weight=1.5"], "must be from 0 to 1"),
        (["task.name=completion", "task.max_new_tokens=-1"], "must be 0 or more"),
        (
            ["task.name=completion", "data.document_mask=true"],
            "data.document_mask is set and so is task.name",
        ),
        (["task.name=completion", "data.errors=replace"], "data.errors is set and so is task.name"),
        (["task.name=completion", "train.refit_steps=5"], "train.refit_steps is set and so is task.name"),
        (["task.name=completion", "task.packs=true"], "did you mean 'task.pack'"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        Recipe.from_dict({}, settings)


def test_a_recipe_keeps_its_task_and_knows_its_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["task.name=completion", "task.validation_paths='held.jsonl'", "task.prompt_weight=0.5"]
    recipe = Recipe.from_dict({}, settings).resolved()
    assert recipe.task.validation_paths == (str(tmp_path / "held.jsonl"),)
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert Recipe.from_toml(tmp_path / "recipe.toml") == recipe
