"""docs/evaluation.md: its Python blocks are run."""

import re
import shutil
from pathlib import Path

import pytest

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$",
    (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(),
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize("number", range(2))
def test_the_blocks_run(bundle, tmp_path, monkeypatch, capsys, number: int) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    (tmp_path / "reviews.txt").write_text("".join(f"{n % 2} film {n}\n" for n in range(10)))
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], "docs/evaluation.md", "exec"), {})
    assert capsys.readouterr().out


def test_there_are_no_others() -> None:
    assert len(BLOCKS) == 2
