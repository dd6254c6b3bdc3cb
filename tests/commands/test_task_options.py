from dataclasses import dataclass
from pathlib import Path

import pytest

from kerasgpt.commands import task_options
from kerasgpt.commands.task_options import TASKS, make_task, options_of
from kerasgpt.errors import UsageError
from kerasgpt.tasks.few_shot import FewShot


@dataclass(frozen=True)
class OfFolder:
    folder: Path
    seed: int = 0


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_made_by_default(name: str) -> None:
    task = make_task(name, Path("model"), {"shots": None, "window": None})
    assert task.name == name


def test_options_are_the_parameters_of_the_class() -> None:
    assert options_of("lambada") == []
    assert make_task("few_shot", Path("model"), {"shots": 3, "window": None}) == FewShot(shots=3)


def test_a_folder_is_given_to_who_takes_one(monkeypatch) -> None:
    monkeypatch.setitem(TASKS, "own", "own")
    monkeypatch.setattr(task_options, "resolve", lambda _: OfFolder)
    assert make_task("own", Path("model"), {"seed": 4}) == OfFolder(Path("model"), 4)
    with pytest.raises(UsageError, match="the task own has no --shots; its own options are --seed$"):
        make_task("own", Path("model"), {"shots": 4})


def test_wrong_names_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown task 'lambda': did you mean 'lambada'"):
        options_of("lambda")
    with pytest.raises(UsageError, match="the task lambada has no --delimiter; its own options are none"):
        make_task("lambada", Path("model"), {"delimiter": " "})
