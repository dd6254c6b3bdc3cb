"""A recurrent model from text to text: trained, stopped and resumed, exported, verified, on every engine."""

import json
import shutil

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from kerasgpt import GenerationConfig, Recipe, load, train
from kerasgpt.artifacts import MANIFEST
from kerasgpt.errors import UsageError
from kerasgpt.export.pipeline import export_folder
from kerasgpt.manifest import Manifest
from kerasgpt.training import callbacks

pytestmark = pytest.mark.slow

PROMPTS = ["The", "", "ROMEO:\nBut soft"]


@pytest.fixture(scope="module")
def recurrent_bundle(recurrent_folder):
    folder = recurrent_folder.parent / "bundle"
    export_folder(recurrent_folder, folder)
    return folder


def test_every_engine_writes_and_scores_the_same(recurrent_bundle):
    settings = [GenerationConfig(max_new_tokens=9, temperature=t, top_k=20, seed=3) for t in (0.0, 0.9, 1.2)]
    answers, scores = [], []
    for engine in ("keras", "onnx", "saved_model"):
        lm = load(recurrent_bundle, engine)
        answers.append([each.token_ids for each in lm.generate(PROMPTS, settings)])
        assert lm.generate(PROMPTS[:1], settings[0])[0].token_ids == answers[-1][0]
        scores.append([each.logprob for each in lm.score(PROMPTS, [" king is dead", "Ay", " what"])])
        assert "".join(lm.stream("The", settings[0])) == lm.generate(["The"], settings[0])[0].text
    assert answers[0] == answers[1] == answers[2]
    np.testing.assert_allclose(scores, scores[:1] * 3, atol=1e-3)


def test_the_commands_work_on_the_bundle(recurrent_bundle, recurrent_folder, run, tmp_path):
    (tmp_path / "text.txt").write_text("But soft, what light is this?\n" * 5)
    assert run("verify", recurrent_bundle, "--strict").code == 0
    evaluated = run("evaluate", recurrent_bundle, "--data", tmp_path / "text.txt")
    assert evaluated.rows[0]["metrics"]["num_tokens"] > 50
    described = json.loads(run("inspect", recurrent_bundle, "--json").out)
    assert described["model"]["cell"] == recurrent_folder.parent.name[:-1]
    assert {"recurrence", "embeddings", "head"} <= set(described["graphs"]["onnx/model.onnx"]["parts"])


def test_the_manifest_says_who_runs_it(recurrent_bundle):
    manifest = json.loads((recurrent_bundle / MANIFEST).read_text())
    assert manifest["model_type"] in ("lstm", "gru")
    assert "alone" in manifest["clients"]
    assert not (recurrent_bundle / "genai_config.json").exists()


def test_an_altered_weight_fails_by_its_answers(recurrent_bundle, run, tmp_path):
    copy = tmp_path / "altered"
    shutil.copytree(recurrent_bundle, copy)
    path = copy / "onnx" / "model.onnx"
    graph = onnx.load(path)
    largest = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    array = onnx.numpy_helper.to_array(largest).copy()
    array.ravel()[::7] += 0.5
    largest.CopyFrom(onnx.numpy_helper.from_array(array, largest.name))
    onnx.save(graph, path)
    manifest = Manifest.read(copy)
    Manifest.of_folder(copy, manifest.formats, manifest.provenance).write(copy)
    assert run("verify", copy).code == 1


def test_what_a_recurrent_model_has_not_is_refused(recurrent_folder, recurrent_bundle, refuses, tmp_path):
    said = refuses("export", recurrent_folder, "--out", tmp_path / "b", "--precisions", "int8", code=2)
    assert "is exported in fp32 alone" in said
    with pytest.raises(UsageError, match="prefix_cache_tokens 64: a recurrent model's state cannot go back"):
        load(recurrent_bundle, "onnx", prefix_cache_tokens=64)


@pytest.fixture
def recurrent_recipe(tmp_path, monkeypatch, shakespeare):
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(shakespeare[:8000])

    def make(*settings):
        small = ["train.steps=6", "train.batch_size=2", "train.sequence_length=12", "train.warmup_steps=1"]
        small += ["train.evaluate_every=3", "train.checkpoint_every=2", "train.sample_tokens=3"]
        small += ["model.type=lstm", "model.hidden_dim=12", "model.dropout=0.2", "data.vocabulary_size=270"]
        return Recipe.from_dict({"data": {"paths": str(tmp_path / "text.txt")}}, [*small, *settings])

    return make


def test_a_resumed_run_is_the_run_never_stopped(recurrent_recipe, tmp_path, monkeypatch):
    train(recurrent_recipe(), tmp_path / "whole", quiet=True)
    log = callbacks.LogLosses.on_step

    def killed(self, step, logs):
        if step == 5:
            raise KeyboardInterrupt
        log(self, step, logs)

    monkeypatch.setattr(callbacks.LogLosses, "on_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(recurrent_recipe("train.log_every=1"), tmp_path / "cut", quiet=True)
    monkeypatch.undo()
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    train(recurrent_recipe("train.log_every=1"), tmp_path / "cut", resume=True, quiet=True)
    whole, cut = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "cut"))
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)
    assert json.loads((tmp_path / "cut" / "model" / "config.json").read_text())["model_type"] == "lstm"


@pytest.mark.parametrize("setting", ["data.document_mask=true", "train.gradient_checkpointing=true"])
def test_settings_of_transformers_are_refused(recurrent_recipe, tmp_path, setting):
    with pytest.raises(UsageError, match="a model of type lstm has no such thing"):
        train(recurrent_recipe(setting), tmp_path / "run", quiet=True)
    with pytest.raises(UsageError, match="unknown setting 'model.num_heads'"):
        recurrent_recipe("model.num_heads=2")
    with pytest.raises(UsageError, match="preset 'gpt-nano' and type 'lstm'"):
        recurrent_recipe("model.preset=gpt-nano")
