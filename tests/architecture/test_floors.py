"""Imports go only downwards, and the light side stays light: the contracts in setup.cfg hold."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint(config: Path) -> subprocess.CompletedProcess:
    command = [Path(sys.executable).parent / "lint-imports", "--config", config, "--no-cache"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_floors_hold():
    result = lint(ROOT / "setup.cfg")
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_the_contracts_can_fail(tmp_path):
    """With two floors swapped the same check must complain; else it checks nothing."""
    text = (ROOT / "setup.cfg").read_text()
    swapped = text.replace("    generation\n    tokenizer\n", "    tokenizer\n    generation\n")
    assert swapped != text
    (tmp_path / "setup.cfg").write_text(swapped)
    assert lint(tmp_path / "setup.cfg").returncode == 1
