"""A missing extra is one sentence; a broken one shows itself; a found one makes no noise."""

import subprocess
import sys

import pytest

from kerasgpt.errors import KerasGPTError, MissingExtraError, UsageError
from kerasgpt.extras import require


def test_a_missing_module_names_the_extra():
    with pytest.raises(
        MissingExtraError, match=r"training needs nonesuch, .* pip install 'kerasgpt\[train\]'"
    ):
        require("nonesuch", "train", "training")
    with pytest.raises(MissingExtraError, match="pip install kerasgpt$"):
        require("nonesuch", "", "the onnx engine")


@pytest.mark.parametrize(
    ("statement", "absent", "sentence", "extra"),
    [
        ("from kerasgpt import train", "keras", "kerasgpt.train needs {}", "train"),
        ("kerasgpt.dataset", "keras", "kerasgpt.dataset needs {}", "train"),
        ("kerasgpt.GPT2CausalLM", "tensorflow", "kerasgpt.GPT2CausalLM needs {}", "train"),
        ("kerasgpt.export_bundle", "keras", "kerasgpt.export_bundle needs {}", "export"),
        ("import kerasgpt.tasks.harness", "lm_eval", "the harness's model needs {}", "tasks"),
        ("import kerasgpt.bulk.handler", "apache_beam", "bulk work needs {}", "beam"),
    ],
)
def test_a_public_name_without_its_extra_says_which(statement, absent, sentence, extra):
    code = f"import sys; sys.modules[{absent!r}] = None; import kerasgpt; {statement}"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    name, said = result.stderr.splitlines()[-1].split(": ", 1)
    assert name == "kerasgpt.errors.MissingExtraError"
    assert said == f"{sentence.format(absent)}, which is not installed: pip install 'kerasgpt[{extra}]'"


def test_a_module_broken_inside_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("import nonesuch_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="nonesuch_dependency") as caught:
        require("broken_inside", "train", "training")
    assert not isinstance(caught.value, MissingExtraError)


def test_a_module_that_is_there_and_cannot_be_loaded_is_not_called_missing(tmp_path, monkeypatch):
    program = "try:\n    bytes(2**62)\nexcept MemoryError as error:\n    raise ImportError('x') from error"
    (tmp_path / "too_large.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KerasGPTError, match=r"training needs too_large, which cannot be loaded: MemoryError"):
        require("too_large", "train", "training")


@pytest.mark.parametrize(("level", "noise"), [("3", ""), ("0", "native message\n")])
def test_native_messages_are_silenced_unless_asked_for(tmp_path, level, noise):
    (tmp_path / "noisy.py").write_text("import os; os.write(2, b'native message\\n')")
    code = "from kerasgpt.extras import require; require('noisy', 'train', 'training')"
    environment = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}", "TF_CPP_MIN_LOG_LEVEL": level}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == noise


def test_two_threads_that_import_leave_standard_error_as_it_was(tmp_path):
    """The first to begin is the first to end: without a lock the other restores its silence for good."""
    (tmp_path / "short.py").write_text("import time; time.sleep(0.4)")
    (tmp_path / "long.py").write_text("import time; time.sleep(0.8)")
    code = """
import os, threading, time
from kerasgpt.extras import require
threads = [threading.Thread(target=require, args=(name, "train", "training")) for name in ("short", "long")]
for thread in threads:
    thread.start()
    time.sleep(0.2)
for thread in threads:
    thread.join()
os.write(2, b"heard")
"""
    environment = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == "heard"


def test_a_backend_that_keras_does_not_have_is_named(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")
    with pytest.raises(UsageError, match="unknown backend in KERAS_BACKEND 'nonsense': Known: tensorflow"):
        require("keras", "export", "exporting")
