"""The command line: instant help, one sentence for every mistake, the right exit code."""

import json
import subprocess
import sys

import pytest

import kerasgpt
from kerasgpt import cli
from kerasgpt.errors import KerasGPTError

HEAVY = ("tensorflow", "keras", "onnx", "onnxruntime", "jax", "torch", "numpy", "matplotlib")


def child(*command: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, **options)


@pytest.fixture
def failing(monkeypatch):
    """Let `inspect` raise what a test gives."""

    def install(error: BaseException) -> None:
        def explode(_: str) -> None:
            raise error

        monkeypatch.setattr(cli, "resolve", explode)

    return install


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"]])
def test_help_imports_nothing_heavy(arguments):
    report = f"import sys, json\nfrom kerasgpt.cli import main\nmain({arguments!r})\n"
    report += f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    result = child("-c", report)
    assert json.loads(result.stdout.splitlines()[-1]) == []


def test_help_lists_every_command_in_the_order_of_a_projects_life(run):
    outcome = run("--help")
    assert outcome.code == 0
    listed = [line.split()[0] for line in outcome.out.split("Commands:")[1].splitlines() if line.strip()]
    assert listed == list(cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(run, name):
    outcome = run(name, "--help")
    assert outcome.code == 0
    assert f"kerasgpt {name}" in outcome.out


def test_the_version(run):
    assert run("--version").out == f"kerasgpt, version {kerasgpt.__version__}\n"


def test_python_m_kerasgpt_is_the_command_line():
    result = child("-m", "kerasgpt", "--version")
    assert result.stdout == f"kerasgpt, version {kerasgpt.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["genrate"], "no such command 'genrate': did you mean 'generate'?"),
        (["xyzzy"], "no such command 'xyzzy': one of: train, tokenizer,"),
        (["generate", "folder", "--promt", "x"], "--prompt"),
        (["generate"], "Missing argument 'MODEL|RUN|BUNDLE'"),
        (["inspect", "folder", "another"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(refuses, arguments, sentence):
    assert sentence in refuses(*arguments, code=2)


def test_a_failure_is_one_sentence_and_exit_1(refuses, failing):
    failing(KerasGPTError("model: is damaged; copy it again"))
    assert refuses("inspect", "model", code=1) == "kerasgpt: model: is damaged; copy it again\n"


def test_an_error_nobody_foresaw_says_how_to_see_more(refuses, failing):
    failing(RuntimeError("two\nlines"))
    sentence = refuses("inspect", "model", code=1)
    assert "RuntimeError: two" in sentence
    assert "kerasgpt --debug" in sentence


@pytest.mark.parametrize(("end", "code"), [(3, 3), ("cannot go on", 1), (0, 0)])
def test_an_end_of_the_process_by_a_library_keeps_its_code(run, failing, end, code):
    failing(SystemExit(end))
    assert run("inspect", "model").code == code


def test_debug_shows_the_traceback(run, failing):
    failing(KerasGPTError("is damaged"))
    with pytest.raises(KerasGPTError, match="is damaged"):
        run("--debug", "inspect", "model")


def test_interrupted_is_exit_130(run, failing):
    failing(KeyboardInterrupt())
    outcome = run("inspect", "model")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.strip() == "kerasgpt: interrupted"
    failing(KeyboardInterrupt("interrupted; 2 of 4 shards are finished"))
    outcome = run("inspect", "model")
    assert outcome.code == 130
    assert outcome.err.strip() == "kerasgpt: interrupted; 2 of 4 shards are finished"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_without_a_standard_stream_it_works_all_the_same(bundle, closed):
    """As daemons and programs without a console are started."""
    command = f"exec '{sys.executable}' -m kerasgpt generate '{bundle}' --engine onnx --prompt the {closed}"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    assert bool(process.stdout) == (closed != ">&-")


def test_a_path_that_may_not_be_looked_at_is_a_sentence(run, failing):
    failing(PermissionError(13, "Permission denied", "secret/folder"))
    outcome = run("inspect", "model")
    assert outcome.code == 1
    assert outcome.err == "kerasgpt: secret/folder: Permission denied; check the path and its permissions\n"


def test_a_full_disk_of_nobody_s_file_is_a_sentence(run, failing):
    failing(OSError(28, "No space left on device"))
    outcome = run("inspect", "model")
    assert outcome.code == 1
    assert outcome.err.startswith("kerasgpt: No space left on device; free some space, in ")
    assert outcome.err.endswith(" too, or set TMPDIR to another\n")


def test_too_little_memory_is_a_sentence(run, failing):
    failing(MemoryError())
    outcome = run("inspect", "model")
    assert outcome.code == 1
    assert outcome.err.startswith("kerasgpt: not enough memory: ")


def test_a_verdict_is_none_where_the_reader_went_away(bundle):
    command = [sys.executable, "-m", "kerasgpt", "verify", str(bundle)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
    process.stderr.close()


def test_a_reader_that_went_away_is_no_failure(model_folder):
    """As `kerasgpt inspect FOLDER | head -0` does."""
    command = [sys.executable, "-m", "kerasgpt", "inspect", str(model_folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ("", 0)
    process.stderr.close()
