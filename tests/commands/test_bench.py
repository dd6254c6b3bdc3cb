"""`kerasgpt bench`: figures of this machine, for people and for programs."""

import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from kerasgpt import load
from kerasgpt.artifacts import FAST_FP32, ONNX_HALF, ONNX_MODEL
from kerasgpt.commands import bench
from kerasgpt.tasks.templates import DEFAULTS

FIGURES = {
    "file",
    "file_bytes",
    "prefill_tokens",
    "prefill_seconds",
    "batch_1_tokens_per_second",
    "batch_8_tokens_per_second",
    "first_token_seconds",
    "peak_memory_bytes",
}


@pytest.fixture(autouse=True)
def one_round(monkeypatch):
    monkeypatch.setattr(bench, "NUM_ROUNDS", 1)


def without_an_operator(path):
    """Let a file need what no onnxruntime has."""
    model = onnx.load(path)
    model.graph.node[-1].op_type = "NotYetThere"
    onnx.save(model, path)


def test_each_precision_is_a_row_of_the_table_and_an_object_of_numbers(run, bundle_copy, tmp_path):
    shutil.copyfile(bundle_copy / ONNX_MODEL, bundle_copy / ONNX_HALF)  # any file of that name will do
    outcome = run("bench", bundle_copy, "--num-threads", 1, "--json", tmp_path / "speed.json")
    assert outcome.code == 0, outcome.err
    content = json.loads((tmp_path / "speed.json").read_text())
    assert set(content) == {"bundle", "num_threads", "precisions"}
    assert content["num_threads"] == 1
    _, *rows = (line.split() for line in outcome.out.splitlines())
    assert [row[0] for row in rows] == ["fp32", "fp16"] == list(content["precisions"])
    for row, (precision, figures) in zip(rows, content["precisions"].items(), strict=True):
        assert set(figures) == FIGURES
        parts = (bundle_copy / "onnx").glob(Path(figures["file"]).name + "*")  # the weights may lie beside it
        assert figures["file_bytes"] == sum(part.stat().st_size for part in parts)
        assert figures["prefill_tokens"] == 48  # half of the context
        assert all(value > 0 for name, value in figures.items() if name != "file")
        assert float(row[2]) == pytest.approx(figures["prefill_seconds"] * 1000, abs=0.1)
        assert float(row[3]) == figures["batch_1_tokens_per_second"]
        assert f"{precision}: starting 1 fresh processes" in outcome.err
    assert content["precisions"]["fp32"]["file"] == FAST_FP32


def test_without_the_fast_file_the_portable_one_is_measured(run, bundle_copy, tmp_path):
    (bundle_copy / FAST_FP32).unlink()
    assert run("bench", bundle_copy, "--json", tmp_path / "speed.json").code == 0
    assert json.loads((tmp_path / "speed.json").read_text())["precisions"]["fp32"]["file"] == ONNX_MODEL


def test_the_memory_is_that_of_the_fresh_process_and_not_of_its_parent(bundle):
    held = np.ones(2**28, np.uint8)
    _, peak = bench.fresh_process(bundle, "fp32")
    assert 2**24 < peak < held.nbytes < bench.peak_memory_bytes()


def test_the_seconds_are_those_of_all_steps_and_no_text_ends_early(bundle, monkeypatch):
    lm = load(bundle)
    model, clock = lm.model, itertools.count()
    monkeypatch.setattr(model, "prefill", favouring(model.prefill, lm.tokenizer.end_of_text_id))
    monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=lambda: 10.0 * next(clock)))
    for name in ("prefill", "step"):  # each of which takes a tick of the clock
        monkeypatch.setattr(model, name, ticking(getattr(model, name), clock))
    assert bench._seconds(lm, [[5], [6, 7]], 20) == (10.0 * 21, 40)


def ticking(step, clock):
    """A step of the model that moves the clock on by one."""

    def ticked(*args, **kwargs):
        next(clock)
        return step(*args, **kwargs)

    return ticked


def favouring(prefill, index):
    """A prefill after which a token is by far the best."""

    def changed(ids, lengths):
        state, logits = prefill(ids, lengths)
        logits = logits.copy()
        logits[:, index] = 1e6
        return state, logits

    return changed


def test_a_file_that_cannot_be_run_here_is_left_out_in_a_sentence(run, bundle_copy):
    shutil.copyfile(bundle_copy / ONNX_MODEL, bundle_copy / ONNX_HALF)
    without_an_operator(bundle_copy / ONNX_HALF)
    outcome = run("bench", bundle_copy)
    assert (outcome.code, len(outcome.out.splitlines())) == (0, 2)
    assert "fp16: left out: " in outcome.err
    assert "lacks an operator" in outcome.err


def test_what_cannot_be_measured_is_refused(run, refuses, bundle_copy, model_folder):
    assert "export it first with 'kerasgpt export" in refuses("bench", model_folder, code=2)
    assert "--num-threads" in refuses("bench", bundle_copy, "--num-threads", 0, code=2)
    without_an_operator(bundle_copy / FAST_FP32)
    outcome = run("bench", bundle_copy)
    assert (outcome.code, outcome.err.splitlines()[-1]) == (
        1,
        f"kerasgpt: {bundle_copy}: no ONNX file of it can be run here",
    )
    shutil.rmtree(bundle_copy / "onnx")
    assert "has no ONNX file" in refuses("bench", bundle_copy, code=2)


def test_a_fresh_process_that_fails_says_why(run, bundle_copy, monkeypatch):
    monkeypatch.setattr(bench, "CHILD", "import sys; sys.exit('no such thing')")
    outcome = run("bench", bundle_copy)
    assert outcome.code == 1
    assert "a fresh process failed: no such thing" in outcome.err


def test_the_folders_settings_and_template_have_no_say_in_a_fresh_process(bundle_copy):
    DEFAULTS["question_answering"].write(bundle_copy)
    path = bundle_copy / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_return_sequences": 2, "num_beams": 2}))
    seconds, peak = bench.fresh_process(bundle_copy, "fp32")
    assert seconds > 0
    assert peak > 1e6


def test_a_name_that_begins_with_a_dash_is_a_name(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-b").symlink_to(bundle)
    seconds, _ = bench.fresh_process(Path("-b"), "fp32")
    assert seconds > 0
