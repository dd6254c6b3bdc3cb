"""docs/theory.md: its blocks run in order, what stands beside a formula exists, and so does a translation."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / name for name in ("theory.md", "theory.zh.md")]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"\]\(\.\./(kerasgpt/[\w/]+\.py)\)((?:[\s,、和与]*`\w+`)+)")


def code(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_the_blocks_run(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"}
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(code(PAGES[0]))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"perplexity 1\.\d\d, 0\.\d\d bits per byte\n", result.stdout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_stands_beside_a_formula_is_there(page: Path) -> None:
    places = PLACE.findall(page.read_text(encoding="utf-8"))
    assert len(places) >= 12
    for file, names in places:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert set(re.findall(r"`(\w+)`", names)) <= defined, file


def test_the_translation_has_the_same_code_and_formulas() -> None:
    english, chinese = PAGES
    assert code(english) == code(chinese)
    formulas = [re.findall(r"\$\$.*?\$\$", page.read_text(encoding="utf-8"), re.DOTALL) for page in PAGES]
    assert formulas[0] == formulas[1]
    headings = [re.findall(r"^## \d+", page.read_text(encoding="utf-8"), re.MULTILINE) for page in PAGES]
    assert headings[0] == headings[1]
