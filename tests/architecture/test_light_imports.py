"""Every light module imports where TensorFlow, Keras and onnx do not exist."""

import configparser
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import kerasgpt

ROOT = Path(__file__).parents[2]

REFUSE_AND_IMPORT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tensorflow", "keras", "onnx", "jax", "torch", "matplotlib"}:
            raise ImportError(f"{name} is refused here")

sys.meta_path.insert(0, Refuse())
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def light_modules() -> list[str]:
    """The rooms that the 'light' contract names, with all their modules."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    rooms = parser["importlinter:contract:light"]["source_modules"].split()
    names = [module.name for module in pkgutil.walk_packages(kerasgpt.__path__, "kerasgpt.")]
    return [
        "kerasgpt",
        *(name for name in names if any(name == r or name.startswith(f"{r}.") for r in rooms)),
    ]


def run_refusing(*modules: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", REFUSE_AND_IMPORT, *modules]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_light_modules_import_without_the_heavy_ones():
    modules = light_modules()
    assert {"kerasgpt.cli", "kerasgpt.runtime.session", "kerasgpt.tokenizer.bpe"} <= set(modules)
    result = run_refusing(*modules)
    assert result.returncode == 0, result.stderr


def test_commands_start_without_the_heavy_ones():
    """So that `kerasgpt COMMAND --help` is quick, and a missing extra is a sentence."""
    commands = [
        f"kerasgpt.commands.{name.stem}" for name in (ROOT / "kerasgpt" / "commands").glob("[a-z]*.py")
    ]
    assert len(commands) >= 8
    result = run_refusing(*commands)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("heavy", ["kerasgpt.models.gpt2", "kerasgpt.in_graph.tokenizer"])
def test_the_refusal_refuses(heavy):
    assert "is refused here" in run_refusing(heavy).stderr
