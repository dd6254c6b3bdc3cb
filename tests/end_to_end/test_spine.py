"""Real text -> a trained model -> one verified folder -> the same text from three engines."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from kerasgpt.artifacts import RUN_MODEL, sha256_of
from kerasgpt.cli import main
from kerasgpt.manifest import Manifest

STEPS = 20
SETTINGS = {
    "data.vocabulary_size": 300,
    "data.test_fraction": 0.1,
    "model.num_layers": 2,
    "model.num_heads": 2,
    "model.hidden_dim": 32,
    "train.steps": STEPS,
    "train.batch_size": 8,
    "train.sequence_length": 48,
    "train.warmup_steps": 2,
    "train.learning_rate": 0.01,
    "train.log_every": 5,
    "train.evaluate_every": 10,
    "train.checkpoint_every": 10,
    "train.sample_tokens": 0,
    "train.jit_compile": "false",
}
OWN = {"keras": "model.safetensors", "onnx": "onnx", "saved_model": "saved_model"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory, shakespeare):
    """Where the run and the bundle are made, each by one command."""
    place = tmp_path_factory.mktemp("spine")
    (place / "text.txt").write_text(shakespeare)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASGPT_CACHE", str(place / "cache"))
        assert main(train_command(place)) == 0
        assert main(["export", str(place / "run"), "--out", str(place / "bundle")]) == 0
        yield place


def train_command(place, *more):
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    return ["train", "--data", str(place / "text.txt"), "--out", str(place / "run"), *settings, *more]


def test_it_learned_and_the_run_tells(place):
    lines = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == STEPS // 5
    assert losses[-1] < losses[0] - 0.3
    summary = json.loads((place / "run" / "summary.json").read_text())
    assert summary["validation_loss"] < losses[0]
    assert 0 < summary["test_bits_per_byte"] < 8
    assert {"loss.png", "config.toml", "model", "summary.json"} <= set(os.listdir(place / "run"))


def test_the_bundle_is_of_the_best_model_and_verified_in_every_part(place, run):
    weights = sha256_of(place / "run" / RUN_MODEL / "model.safetensors")
    assert sha256_of(place / "bundle" / "model.safetensors") == weights
    assert Manifest.read(place / "bundle").files["model.safetensors"] == weights
    outcome = run("verify", place / "bundle", "--strict", "--json")
    assert outcome.code == 0, outcome
    (content,) = outcome.rows
    status = {check["name"]: check["status"] for check in content["checks"]}
    names = ["kerasgpt.json", "model.safetensors", "saved_model/1", "onnx/model.onnx", "onnx/fast_fp32.onnx"]
    assert status == dict.fromkeys(names, "ok")


def test_three_engines_write_the_same_each_in_its_own_process_with_the_others_deleted(place, tmp_path):
    command = [sys.executable, "-m", "kerasgpt", "generate", str(tmp_path / "bundle"), "--json"]
    prompts = ["", "ROMEO:\n", "naïve 北京"]
    options = [word for prompt in prompts for word in ("--prompt", prompt)]
    written = {}
    for engine, own in OWN.items():
        shutil.copytree(place / "bundle", tmp_path / "bundle")
        for other in {*OWN.values(), "parity.npz"} - {own}:
            path = tmp_path / "bundle" / other
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        child = subprocess.run(
            [*command, "--engine", engine, *options], capture_output=True, text=True, check=True
        )
        assert child.stderr == ""  # TensorFlow's greeting on import included
        rows = [json.loads(line) for line in child.stdout.splitlines()]
        written[engine] = [(row["prompt"], row["text"], row["token_ids"]) for row in rows]
        shutil.rmtree(tmp_path / "bundle")
    assert [prompt for prompt, _, _ in written["keras"]] == prompts
    assert all(ids for _, _, ids in written["keras"])
    assert written["onnx"] == written["keras"]
    assert written["saved_model"] == written["keras"]


def test_a_finished_run_is_resumed_without_doing_anything(place):
    before = {path: path.stat().st_mtime_ns for path in (place / "run").rglob("*") if path.is_file()}
    assert main(train_command(place, "--resume")) == 0
    assert main(["train", "--resume", "--out", str(place / "run")]) == 0
    after = {path: path.stat().st_mtime_ns for path in (place / "run").rglob("*") if path.is_file()}
    assert after == before
