"""The recipes that come with the package, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from kerasgpt.errors import unknown_name
from kerasgpt.training.config import Recipe, read_toml

SIZES = ("num_layers", "num_heads", "hidden_dim", "intermediate_dim", "embedding_dim")
"""The fields of ``[model]`` that a preset is about."""


def packaged_recipes() -> dict[str, Path]:
    """Name -> file of each; its first lines say the command, what it takes, and what it reaches.

    >>> "shakespeare-char" in packaged_recipes()
    True
    """
    folder = Path(str(resources.files("kerasgpt") / "assets" / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def recipe_file(name: str) -> Path:
    """The file of a recipe: a path as it is, or the name of a packaged one.

    Raises:
        UsageError: it looks like a name and there is no such recipe.
    """
    known = packaged_recipes()
    if name in known and not Path(name).is_file():
        return known[name]
    if not Path(name).exists() and not Path(name).suffix and Path(name).name == name:
        raise unknown_name("recipe", name, known)
    return Path(name)


def without_size(path: str | Path) -> dict[str, Any]:
    """The settings of a recipe's file without its model's sizes, which another preset brings along.

    Raises:
        KerasGPTError: the file cannot be read.
    """
    settings = read_toml(path)
    model = settings.get("model")
    if isinstance(model, dict):  # else it is refused with all the others
        settings["model"] = {name: value for name, value in model.items() if name not in SIZES}
    return settings


def task_recipe(name: str, has_model: bool) -> dict[str, dict[str, Any]]:
    """The settings of a packaged recipe for a task.

    Args:
        name: of the recipe.
        has_model: whether a size or a folder to start from is given: the recipe's own size is then left out.
    """
    settings = Recipe.from_toml(packaged_recipes()[name]).to_dict()
    if has_model:
        settings.pop("model")
    return settings
