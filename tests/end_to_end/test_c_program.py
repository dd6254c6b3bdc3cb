"""examples/c/generate.c, built as its first lines say by each compiler there is: the text of Python."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from kerasgpt.artifacts import SAVED_MODEL

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "c" / "generate.c"
FOUND = {Path(path).resolve(): name for name in ("cc", "gcc", "clang") if (path := shutil.which(name))}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=FOUND.values())
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    find, build, _ = re.search(
        r"^ \* {5}(TF=.*?\n) \* {5}(cc .*?\n) \* {5}(\./generate .*?)\n",
        SOURCE.read_text(),
        re.DOTALL | re.MULTILINE,
    ).groups()
    build = re.sub(r"\\\n \* +", "", build).replace("examples/c/", f"{SOURCE.parent}/")
    build = re.sub(r"^cc ", f"{request.param} -Wall -Wextra -Werror ", build)
    script = find.replace("python", sys.executable) + build
    built = subprocess.run(script, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "generate"


def call(program: Path, *words: Any) -> subprocess.CompletedProcess:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run([program, *words], env=environment, capture_output=True, check=False)


def test_c_writes_what_python_writes(program: Path, bundle: Path) -> None:
    serve = tf.saved_model.load(str(bundle / SAVED_MODEL)).signatures["serving_default"]
    for prompt in ("Once upon a time", "", "naïve 北京 🙂"):
        result = call(program, bundle / SAVED_MODEL, prompt)
        assert result.returncode == 0, result.stderr
        (text,) = serve(prompts=tf.constant([prompt]))["text"].numpy()
        assert result.stdout == text + b"\n"


def test_c_says_what_is_wrong(program: Path, bundle_copy: Path, tmp_path: Path) -> None:
    missing = call(program, tmp_path / "none", "x")
    assert (missing.returncode, missing.stdout) == (1, b"")
    assert b"Could not find SavedModel" in missing.stderr
    assert b"give the folder of a SavedModel and a text" in call(program).stderr
    (bundle_copy / SAVED_MODEL / "assets.extra" / "tensors.txt").unlink()
    assert b"tensors.txt: cannot be read" in call(program, bundle_copy / SAVED_MODEL, "x").stderr
