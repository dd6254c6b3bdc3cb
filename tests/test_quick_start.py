"""A process of our own imports Keras without its bystanders, and is otherwise as any other."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from kerasgpt.quick_start import leave_out_bystanders
if sys.argv[1] == "left out":
    leave_out_bystanders()
import keras
on_the_side = ("sklearn", "matplotlib.pyplot")
print(keras.backend.backend(), *(name for name in on_the_side if sys.modules.get(name)))
"""


def printed(how, backend, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    found = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return found.stdout.split()


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_comes_without_what_it_imports_on_the_side(backend, monkeypatch):
    assert printed("left out", backend, monkeypatch) == [backend]


def test_or_else_with_it(monkeypatch):
    """If not, nothing is left to leave out: then the module goes."""
    found = printed("as it comes", "tensorflow", monkeypatch)
    assert found == ["tensorflow", "sklearn", "matplotlib.pyplot"]


def test_what_the_package_uses_works_as_ever(tmp_path):
    """Compiled modules take the place of a name for the module itself, even where nothing is in it."""
    program = f"""
from kerasgpt.quick_start import leave_out_bystanders
leave_out_bystanders()
import keras, pyarrow, pyarrow.parquet, sacrebleu, scipy.special
from matplotlib.figure import Figure
from rouge_score import rouge_scorer
pyarrow.parquet.write_table(pyarrow.table({{"text": ["a"]}}), "{tmp_path}/texts.parquet")
print(pyarrow.parquet.read_table("{tmp_path}/texts.parquet").to_pydict()["text"])
assert scipy.special.logsumexp([0.0]) == 0
print(rouge_scorer.RougeScorer(["rouge1"]).score("a", "a")["rouge1"].fmeasure)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "['a']\n1.0\n"


def test_what_is_imported_already_stays(monkeypatch):
    from kerasgpt import quick_start

    monkeypatch.setattr(quick_start, "BYSTANDERS", ("json", "no_such_module"))
    monkeypatch.delitem(sys.modules, "no_such_module", raising=False)
    quick_start.leave_out_bystanders()
    assert sys.modules["json"] is not None
    assert sys.modules.pop("no_such_module", 0) is None


def test_a_module_runs_as_by_itself():
    command = [sys.executable, "-m", "kerasgpt.quick_start", "json.tool", "--compact"]
    assert subprocess.run(command, input="[1, 2]", capture_output=True, text=True).stdout == "[1,2]\n"
