"""`kerasgpt train` as a user types it."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress

import pytest

from kerasgpt import cli
from kerasgpt.training.config import Recipe

SETTINGS = {
    "data.vocabulary_size": 270,
    "model.num_layers": 1,
    "model.num_heads": 2,
    "model.hidden_dim": 16,
    "train.batch_size": 2,
    "train.sequence_length": 16,
    "train.log_every": 1,
    "train.evaluate_every": 5000,
    "train.sample_tokens": 0,
    "train.jit_compile": "false",
}


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question.\n" * 80)

    def make(*more, **settings):
        changed = {**SETTINGS, **{key.replace("__", "."): value for key, value in settings.items()}}
        sets = [part for key, value in changed.items() for part in ("--set", f"{key}={value}")]
        return ["train", "--data", str(tmp_path / "text.txt"), "--out", str(tmp_path / "run"), *sets, *more]

    return make


def test_a_run_prints_its_summary(arguments, tmp_path, capsys):
    assert cli.main(arguments(train__steps=2)) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert "step 2/2" in printed.err


def test_a_run_that_is_not_there_cannot_go_on(tmp_path, capsys):
    out = tmp_path / "typo"
    assert cli.main(["train", "--resume", "--out", str(out)]) == 2
    wanted = f"kerasgpt: {out}: no run there to go on with; to start one, name --data\n"
    assert capsys.readouterr().err == wanted
    assert not out.exists()


def test_options_and_settings_change_the_recipe(arguments, tmp_path, capsys):
    (tmp_path / "recipe.toml").write_text(
        "[train]\nsteps = 3\nseed = 7\n[model]\nintermediate_dim = 50\ndropout = 0.25\n"
    )
    given = ["--config", str(tmp_path / "recipe.toml"), "--preset", "gpt-nano", "--errors", "replace"]
    assert cli.main(arguments(*given, train__steps=1)) == 0
    recipe = Recipe.from_toml(tmp_path / "run" / "config.toml")
    assert (recipe.model.preset, recipe.train.steps, recipe.train.seed) == ("gpt-nano", 1, 7)
    assert recipe.data.errors == "replace"
    assert set(recipe.model.fields) == {
        "dropout",
        "num_layers",
        "num_heads",
        "hidden_dim",
    }  # no size but --set's


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        (["--set", "train.stops=3"], 2, "did you mean 'train.steps'"),
        (["--preset", "gtp2"], 2, "did you mean 'gpt2'"),
        (["--data", "none.txt"], 1, "none.txt: cannot read"),
        (["--config", "none.toml"], 1, "none.toml: cannot read"),
        (["--set", "train.sequence_length=100000"], 1, "give more text"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(arguments, tmp_path, capsys, more, code, sentence):
    assert cli.main(arguments(*more)) == code
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("missing", "package"),
    [
        ("tensorflow", "'kerasgpt[train]'"),
        ("keras", "'kerasgpt[train]'"),
        ("jax", "'kerasgpt[jax]'"),
        ("torch", "torch"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(arguments, missing, package):
    program = f"import sys; sys.modules['{missing}'] = None; from kerasgpt.cli import main; sys.exit(main())"
    backend = "tensorflow" if missing == "keras" else missing
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *arguments()]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert f"training needs {missing}" in child.stderr
    assert f"pip install {package}\n" in child.stderr


@pytest.mark.parametrize(
    ("backend", "sentence"),
    [("tensorfow", "did you mean 'tensorflow'"), ("foo", "Known: tensorflow, jax, torch")],
)
def test_an_unknown_backend_is_a_sentence(arguments, monkeypatch, capsys, backend, sentence):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    assert cli.main(arguments()) == 2
    assert f"unknown backend in KERAS_BACKEND '{backend}':" in (said := capsys.readouterr().err)
    assert sentence in said


@pytest.mark.slow
def test_a_run_whose_terminal_goes_away_saves_itself(arguments, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "kerasgpt", *arguments(train__steps=100_000)]
    metrics, (terminal, child_end) = tmp_path / "run" / "metrics.jsonl", os.openpty()
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=child_end,
        stdout=child_end,
        stderr=child_end,
        start_new_session=True,
        preexec_fn=_take_the_terminal,
    )
    os.close(child_end)
    os.set_blocking(terminal, False)
    deadline = time.monotonic() + 60
    while not (metrics.is_file() and metrics.read_text()) and time.monotonic() < deadline:
        with suppress(BlockingIOError):
            os.read(terminal, 4096)
        time.sleep(0.05)
    os.close(terminal)  # its session is hung up
    child.send_signal(signal.SIGHUP)  # as of a shell that it runs in, beside the system's
    assert child.wait(60) == 128 + signal.SIGHUP
    (saved,) = (tmp_path / "run" / "checkpoints").glob("step-*")
    assert int(saved.name.removeprefix("step-")) >= 1


def _take_the_terminal():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_resume_goes_on(arguments, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "kerasgpt", *arguments(train__steps=800)]
    metrics = tmp_path / "run" / "metrics.jsonl"
    child = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (metrics.is_file() and metrics.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "kerasgpt train --resume --out" in said
    stopped = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert 0 < stopped < 800
    resume = [sys.executable, "-m", "kerasgpt", "train", "--resume", "--out", str(tmp_path / "run")]
    child = subprocess.run(resume, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout)["steps"] == 800
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert sorted(set(steps)) == list(range(1, 801))


def test_a_task_takes_its_recipe_and_a_size_its_place(tmp_path, capsys):
    path = str(tmp_path / "pairs.jsonl")
    (tmp_path / "pairs.jsonl").write_text('{"source": "a b", "target": "c d"}\n' * 40)
    given = ["train", "--task", "translation", "--data", path, "--validation-data", path]
    small = ["train.steps=1", "train.batch_size=2", "train.jit_compile=false", "train.sample_tokens=0"]
    sets = [part for setting in (*small, "data.vocabulary_size=270") for part in ("--set", setting)]
    out = tmp_path / "run"
    assert cli.main([*given, "--preset", "gpt-nano", "--out", str(out), *sets]) == 0, capsys.readouterr().err
    recipe = Recipe.from_toml(out / "config.toml")
    assert (recipe.task.name, recipe.task.validation_paths) == ("translation", (path,))
    assert (recipe.model.preset, dict(recipe.model.fields)) == ("gpt-nano", {})
    assert recipe.train.early_stopping_patience > 0  # as the packaged recipe says
    assert json.loads((out / "model" / "task.json").read_text())["task"] == "translation"
