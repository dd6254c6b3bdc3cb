"""`kerasgpt evaluate`: figures of a model on a text."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from kerasgpt import load
from kerasgpt.artifacts import ONNX_INT8
from kerasgpt.engines import ENGINES
from kerasgpt.tasks import language_modeling


@pytest.fixture
def text(tmp_path, shakespeare):
    (tmp_path / "text.txt").write_text(shakespeare[1000:1600] + "naïve 北京\r\n", newline="")
    return tmp_path / "text.txt"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_json_form(run, bundle, text, tmp_path, engine):
    file = tmp_path / "result.json"
    outcome = run("evaluate", bundle, "--data", text, "--engine", engine, "--json", file)
    assert (outcome.code, outcome.err) == (0, "")
    (content,) = outcome.rows
    assert json.loads(file.read_text()) == content
    metrics, intervals = content.pop("metrics"), content.pop("intervals")
    tokens = len(load(bundle).tokenizer.encode(text.read_bytes().decode()))
    assert content == {
        "task": "language_modeling",
        "model": str(bundle),
        "engine": engine,
        "precision": "fp32",
        "num_examples": 1 + -(-(tokens - 96) // 48),  # a window, and then steps of half of one
        "baselines": {},
        "settings": {"level": "token", "seed": 0},
        "data": [str(text)],
    }
    assert set(intervals) == {name for name in metrics if not name.startswith("num_")}
    assert all(low < metrics[name] < high for name, (low, high) in intervals.items())
    expected = language_modeling.evaluate(load(bundle, "keras"), text.read_bytes().decode())
    assert metrics == pytest.approx(expected, rel=1e-5)
    assert metrics["num_bytes"] == text.stat().st_size


def test_the_engine_that_was_chosen_is_named(run, bundle, model_folder, text):
    assert run("evaluate", bundle, "--data", text).rows[0]["engine"] == "onnx"
    assert run("evaluate", model_folder, "--data", text).rows[0]["engine"] == "keras"


def test_an_unknown_task_and_engine(refuses, bundle, text):
    arguments = ("evaluate", bundle, "--data", text)
    sentence = refuses(*arguments, "--task", "language_modelling", code=2)
    assert "unknown task 'language_modelling': did you mean 'language_modeling'?" in sentence
    assert "did you mean 'onnx'" in refuses(*arguments, "--engine", "onx", code=2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot read (No such file or directory)"),
        (b"", "is empty"),
        (b"abc\xff", "not UTF-8 at byte 3"),
    ],
)
def test_bad_data_is_named_and_nothing_written(refuses, bundle, tmp_path, content, sentence):
    data, file = tmp_path / "bad.txt", tmp_path / "result.json"
    if content is not None:
        data.write_bytes(content)
    stderr = refuses("evaluate", bundle, "--data", data, "--json", file, code=1)
    assert str(data) in stderr
    assert sentence in stderr
    assert not file.exists()


def test_a_folder_is_no_text(refuses, bundle, tmp_path):
    wanted = f"{tmp_path}: is a folder; name its files, such as {tmp_path}/*.txt"
    assert wanted in refuses("evaluate", bundle, "--data", tmp_path, code=1)


@pytest.fixture
def passages(tmp_path, shakespeare):
    """LAMBADA's form: 40 passages of some words."""
    words = shakespeare.split()
    rows = [{"text": " ".join(words[start : start + 9])} for start in range(0, 360, 9)]
    path = tmp_path / "lambada.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "sst2.txt"
    path.write_text("".join(f"{number % 2} a film of number {number}\n" for number in range(30)))
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_answers_every_task_alike(run, bundle, tmp_path, passages, reviews, engine):
    choices = tmp_path / "choices.jsonl"
    rows = [{"query": "O", "choices": ["Romeo", f"night {n}"], "gold": n % 2} for n in range(8)]
    choices.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([{"input": f"w{n}", "output": f"v{n}"} for n in range(6)]))
    tasks = [
        ("lambada", passages),
        ("hellaswag", choices),
        ("multiple_choice", choices),
        ("few_shot", reviews, "--calibrate"),
        ("few_shot", pairs, "--method", "generate", "--max-new-tokens", 5),
    ]
    for task, data, *options in tasks:
        arguments = ("evaluate", bundle, "--task", task, "--data", data, *options)
        (found,) = run(*arguments, "--engine", engine).rows
        (expected,) = run(*arguments, "--engine", "keras").rows
        assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-4)
        assert found["baselines"] == expected["baselines"]


@pytest.fixture(scope="module")
def two_precisions(model_folder, tmp_path_factory):
    from kerasgpt.export.pipeline import export_folder

    folder = tmp_path_factory.mktemp("precisions") / "bundle"
    export_folder(model_folder, folder, ("onnx",), ("fp32", "int8"))
    return folder


def test_several_precisions_and_shots_in_one_table(run, two_precisions, reviews, tmp_path):
    file, picture = tmp_path / "result.json", tmp_path / "shots.png"
    arguments = (
        "evaluate",
        two_precisions,
        "--task",
        "few_shot",
        "--data",
        reviews,
        "--shots",
        "0,2",
        "--limit",
        12,
    )
    outcome = run(*arguments, "--precision", "fp32,int8", "--json", file, "--plot", picture, "--table")
    assert outcome.code == 0, outcome.err
    results = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(one["precision"], one["settings"]["shots"]) for one in results] == [
        ("fp32", 0),
        ("fp32", 2),
        ("int8", 0),
        ("int8", 2),
    ]
    assert {one["num_examples"] for one in results} == {12}
    for words in ("few_shot: ", "fp32, 0 shots", "int8, 2 shots", "majority", "random", "12 examples"):
        assert words in outcome.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.glob("result.*")) == [
        "result.fp32.0-shots.outcomes.jsonl",
        "result.fp32.2-shots.outcomes.jsonl",
        "result.int8.0-shots.outcomes.jsonl",
        "result.int8.2-shots.outcomes.jsonl",
        "result.json",
    ]


def test_what_is_done_is_not_done_again_and_what_changed_is_noticed(
    run, refuses, bundle_copy, passages, tmp_path
):
    file = tmp_path / "result.json"
    arguments = ("evaluate", bundle_copy, "--task", "lambada", "--data", passages, "--batch-size", 7)
    first = run(*arguments, "--json", file)
    outcomes = tmp_path / "result.fp32.outcomes.jsonl"
    lines = outcomes.read_text().splitlines(keepends=True)
    assert len(lines) == 41
    outcomes.write_text("".join(lines[:20]) + lines[20][:30])
    again = run(*arguments, "--json", file)
    assert again.rows == first.rows
    assert sorted(set(outcomes.read_text().splitlines(keepends=True))) == sorted(lines)
    for change, named in [(("--limit", 39), "num examples"), (("--batch-size", 8), "batch size")]:
        assert f"was begun with another {named}" in refuses(*arguments, "--json", file, *change, code=1)
    passages.write_text(passages.read_text().replace("a", "b"))
    assert "was begun with another data" in refuses(*arguments, "--json", file, code=1)
    assert run(*arguments, "--json", file, "--restart").rows != first.rows
    shutil.copyfile(bundle_copy / "kerasgpt.json", bundle_copy / "kept.json")
    manifest = json.loads((bundle_copy / "kerasgpt.json").read_text())
    manifest["files"][ONNX_INT8] = "0" * 64
    (bundle_copy / "kerasgpt.json").write_text(json.dumps(manifest))
    assert "was begun with another model" in refuses(*arguments, "--json", file, code=1)


def test_killed_it_goes_on_to_the_same_result(bundle, passages, tmp_path, run):
    file = tmp_path / "result.json"
    arguments = ["evaluate", str(bundle), "--task", "lambada", "--data", str(passages), "--batch-size", "1"]
    command = [sys.executable, "-m", "kerasgpt", *arguments, "--json", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ))
    outcomes = tmp_path / "result.fp32.outcomes.jsonl"
    while process.poll() is None and (not outcomes.exists() or outcomes.read_text().count("\n") < 6):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert outcomes.read_text().count("\n") >= 6
    assert run(*arguments, "--json", file).rows == run(*arguments).rows


def test_a_result_in_the_models_own_folder_is_no_part_of_the_model(run, model_folder, passages, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    arguments = (
        "evaluate",
        folder,
        "--task",
        "lambada",
        "--data",
        passages,
        "--json",
        folder / "result.json",
    )
    first = run(*arguments)
    assert first.code == 0
    again = run(*arguments)
    assert (again.code, again.rows) == (0, first.rows)


@pytest.mark.parametrize("task", ["few_shot", "summarization"])
def test_one_option_of_generation_changes_none_of_the_others(run, bundle_copy, reviews, tmp_path, task):
    path = bundle_copy / "generation_config.json"
    sampled = {"do_sample": True, "temperature": 1.5, "max_new_tokens": 64, "num_return_sequences": 2}
    path.write_text(json.dumps({**json.loads(path.read_text()), **sampled}))
    (tmp_path / "texts.jsonl").write_text('{"text": "It rained. All went home.", "summary": "Rain"}\n')
    own = ("--method", "generate", "--limit", 4) if task == "few_shot" else ()
    data = reviews if task == "few_shot" else tmp_path / "texts.jsonl"
    arguments = ("evaluate", bundle_copy, "--task", task, "--data", data, *own)
    (plain,), (changed,) = run(*arguments).rows, run(*arguments, "--repetition-penalty", 1.1).rows
    settings = changed["settings"]["settings"]
    longest = 16 if task == "few_shot" else 32
    said = [settings[name] for name in ("temperature", "max_new_tokens", "num_return_sequences")]
    assert said == [0.0, longest, 1]
    assert settings["repetition_penalty"] == 1.1
    assert changed["num_examples"] == plain["num_examples"]


def test_options_of_another_task_and_bad_numbers(refuses, bundle, text, reviews):
    arguments = ("evaluate", bundle, "--data", text)
    sentence = refuses(*arguments, "--shots", 3, code=2)
    assert "the task language_modeling has no --shots; its own options are --window, --stride" in sentence
    sentence = refuses(*arguments, "--temperature", 1, code=2)
    assert "the task language_modeling has no options of generation" in sentence
    assert "--limit is 0" in refuses(*arguments, "--limit", 0, code=2)
    assert "--seed is -1: it must be 0 or more" in refuses(*arguments, "--seed", -1, code=2)
    assert "window is 97: it must be from 1 to the context of 96" in refuses(
        *arguments, "--window", 97, code=2
    )
    few = ("evaluate", bundle, "--task", "few_shot", "--data", reviews)
    assert "'1,x' is not a number of shots" in refuses(*few, "--shots", "1,x", code=2)
    assert "shots is -1" in refuses(*few, "--shots", "-1", code=2)
    assert "give several, --shots 0,1,2,4,8" in refuses(*few, "--plot", "a.png", code=2)
    assert "a plot is a file that ends in" in refuses(*few, "--plot", "a.gif", "--shots", "0,1", code=2)
    assert "No such option '--num-samples'" in refuses(*few, "--num-samples", 2, code=2)
    assert "unknown precision 'int2'" in refuses(*few, "--precision", "fp32,int2", code=2)


def test_the_model_s_window_is_the_shots_limit(run, bundle, reviews):
    outcome = run("evaluate", bundle, "--task", "few_shot", "--data", reviews, "--shots", 8)
    metrics = outcome.rows[0]["metrics"]
    assert metrics["num_shortened_prompts"] == 30
    assert metrics["num_unanswered"] == 0
    assert outcome.err == ""  # no warning of a prompt that is cut: none was


def test_a_line_that_is_wrong_is_named(refuses, bundle, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "To be"}\n{"texts": "or not"}\n')
    sentence = refuses("evaluate", bundle, "--task", "lambada", "--data", path, code=1)
    assert f'{path}, line 2: has no text "text"' in sentence


@pytest.mark.parametrize("option", [("--json", "results"), ("--shots", "0,1", "--plot", "plot.png")])
def test_where_results_cannot_be_written_is_said_before_the_work(refuses, tmp_path, option):
    *words, name = option
    (tmp_path / name).mkdir()
    arguments = ("--task", "few_shot", "--data", "x", *words, tmp_path / name)
    sentence = refuses("evaluate", tmp_path / "no-model", *arguments, code=1)
    assert sentence == (
        f"kerasgpt: {tmp_path / name}: cannot write (a file is to be written, and a folder is there); name a"
        " file\n"
    )
