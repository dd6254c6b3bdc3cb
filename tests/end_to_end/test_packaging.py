"""What is published works: sdist and wheel build, and the wheel alone, outside the clone, does its work.

The wheel is installed by pip with its base dependencies into an empty environment. For the demo, the
extra's heavy libraries are then lent to that environment from the one that runs the tests, since
installing TensorFlow once more takes longer than all other tests of this folder; that they are what
``[export]`` asks for is checked by the wheel's own metadata.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NOT_SOURCES = shutil.ignore_patterns(
    ".git",
    ".venv*",
    "__pycache__",
    "*.egg-info",
    ".*_cache",
    "build",
    "dist",
    "runs",
    "demo",
    ".import_linter*",
)
TINY = {
    "data.vocabulary_size": 1000,
    "data.test_fraction": 0.02,
    "data.validation_fraction": 0.01,
    "model.num_layers": 1,
    "model.num_heads": 2,
    "model.hidden_dim": 16,
    "train.steps": 6,
    "train.refit_steps": 3,
    "train.sequence_length": 128,
    "train.evaluate_every": 3,
    "train.checkpoint_every": 3,
    "train.sample_tokens": 4,
    "train.jit_compile": "false",
}

pytestmark = pytest.mark.slow


def shell(*command: object, cwd: Path, **options) -> subprocess.CompletedProcess:
    """Run a command as a stranger would: elsewhere, and with nothing of this process's settings."""
    hidden = {"PYTHONPATH", "KERAS_BACKEND", "VIRTUAL_ENV"}
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    environment = {**inherited, "KERASGPT_CACHE": str(cwd / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("packaging")


@pytest.fixture(scope="module")
def distributions(place):
    """The wheel, built from the sdist, and the sdist, built from a copy of the sources."""
    shutil.copytree(ROOT, place / "source", ignore=NOT_SOURCES)
    built = shell(sys.executable, "-m", "build", "--outdir", place / "dist", place / "source", cwd=place)
    assert built.returncode == 0, built.stderr
    (wheel,) = (place / "dist").glob("*.whl")
    (sdist,) = (place / "dist").glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def python(place, distributions):
    """The Python of an empty environment with the wheel and its base dependencies."""
    venv.create(place / "environment", with_pip=True)
    python = place / "environment" / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check"]
    installed = shell(python, "-m", "pip", "install", *options, distributions[0], cwd=place)
    assert installed.returncode == 0, installed.stderr
    return python


@pytest.fixture(scope="module")
def kerasgpt(python, place):
    """Call the installed command."""

    def call(*arguments: object, **options) -> subprocess.CompletedProcess:
        return shell(python.parent / "kerasgpt", *arguments, cwd=place, **options)

    return call


@pytest.fixture
def with_export(python):
    """Lend the environment the libraries of [export], found after its own."""
    packages = sysconfig.get_path("purelib", vars={"base": str(python.parents[1])})
    lent = Path(packages) / "lent.pth"
    lent.write_text(sysconfig.get_path("purelib") + "\n")
    yield
    lent.unlink()


def test_the_sdist_holds_tests_and_pages_and_the_wheel_the_package_alone(distributions):
    wheel, sdist = distributions
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    pages = {"README.md", "LICENSE", "CHANGELOG.md", "Makefile", "setup.cfg", "tests/conftest.py"}
    assert pages <= inside
    assert {"tests/data/base/model.safetensors", "examples/01_fit.py", "export/build.py"} <= inside
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"kerasgpt"}
    assets = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kerasgpt" / "assets").rglob("*.*")}
    assert {name for name in assets if "__pycache__" not in name} <= set(names)
    assert "kerasgpt/py.typed" in names


def test_the_package_comes_from_the_environment_and_its_command_answers(kerasgpt, python, place):
    found = shell(python, "-c", "import kerasgpt; print(kerasgpt.__file__)", cwd=place)
    assert Path(found.stdout.strip()).is_relative_to(place / "environment"), found.stderr
    answer = kerasgpt("--help")
    assert answer.returncode == 0, answer.stderr
    assert "Train, export, verify and generate" in answer.stdout


def test_the_base_install_reads_and_writes_text(kerasgpt, bundle, run):
    encoded = kerasgpt("tokenizer", "encode", "gpt2", input="Hello world")
    assert json.loads(encoded.stdout) == {"ids": [15496, 995]}, encoded.stderr
    arguments = ("generate", bundle, "--prompt", "The", "--json")
    assert kerasgpt(*arguments).stdout == run(*arguments).out


def test_the_base_install_verifies_what_it_can_run(kerasgpt, bundle):
    result = kerasgpt("verify", bundle)
    assert result.returncode == 0, result.stderr
    assert "ok           onnx/model.onnx: logits within" in result.stdout
    assert "not checked  model.safetensors: keras is not installed" in result.stdout
    assert "not checked  saved_model/1: tensorflow is not installed" in result.stdout
    assert kerasgpt("verify", bundle, "--strict").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "--data", "text.txt", "--out", "run"], "train"),
        (["export", "model", "--out", "bundle"], "export"),
        (["demo"], "export"),
        (["batch", "bundle", "--input", "prompts.txt", "--output", "answers"], "beam"),
    ],
)
def test_the_base_install_asks_for_what_it_lacks(kerasgpt, place, arguments, extra):
    before = sorted(path.name for path in place.iterdir())
    result = kerasgpt(*arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("kerasgpt: ")
    assert result.stderr.endswith(f"which is not installed: pip install 'kerasgpt[{extra}]'\n")
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in place.iterdir()) == before


def test_the_libraries_that_are_lent_are_those_that_the_extra_asks_for(distributions):
    (info,) = metadata.Distribution.discover(path=[str(distributions[0])], name="kerasgpt")
    wanted = [Requirement(text) for text in info.requires]
    export = [one for one in wanted if one.marker and one.marker.evaluate({"extra": "export"})]
    assert {one.name for one in export} >= {"tensorflow", "keras", "onnx"}
    for one in export:
        assert one.specifier.contains(metadata.version(one.name)), one


def test_the_demo_runs_from_the_wheel(kerasgpt, place, with_export):
    settings = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    result = kerasgpt("demo", *settings)
    assert result.returncode == 0, result.stderr
    assert "keras, onnx, saved_model: the same text" in result.stdout
    assert result.stdout.count("\nok           ") == 5  # the files, and four artifacts
    assert (place / "saved_models" / "demo" / "onnx" / "model.onnx").is_file()
    assert (place / "runs" / "demo" / "loss.png").is_file()
