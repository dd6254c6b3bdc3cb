"""`kerasgpt inspect`: what is in a folder."""

import dataclasses
import json
import shutil
import subprocess
import sys

import onnx
import pytest

from kerasgpt import GPT2CausalLM
from kerasgpt.artifacts import FAST_FP32, ONNX_MODEL, RUN_CONFIG, RUN_MODEL, RUN_SUMMARY
from kerasgpt.manifest import Manifest
from kerasgpt.tasks.templates import DEFAULTS


def inspect(run, folder) -> dict:
    outcome = run("inspect", folder, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    (content,) = outcome.rows
    return content


def test_a_model_folder(run, model_folder):
    content = inspect(run, model_folder)
    assert set(content) == {"folder", "kind", "model", "files"}
    assert (content["folder"], content["kind"]) == (str(model_folder), "model")
    assert content["model"]["vocabulary_size"] == 300
    assert content["model"]["max_sequence_length"] == 96
    assert content["model"]["num_parameters"] == GPT2CausalLM.from_preset(model_folder).count_params()
    sizes = {path.name: path.stat().st_size for path in model_folder.iterdir()}
    assert content["files"] == sizes


def test_a_bundle_with_its_proof(run, bundle):
    content = inspect(run, bundle)
    assert content["kind"] == "bundle"
    manifest = Manifest.read(bundle)
    assert set(content["files"]) == {*manifest.files, "kerasgpt.json"}
    rows = {row["artifact"]: row for row in content["artifacts"]}
    assert set(rows) == {"model.safetensors", "onnx/model.onnx", "onnx/fast_fp32.onnx", "saved_model/1"}
    for row in rows.values():
        assert 0 <= row["max_logit_error"] <= 1e-4
        assert row["num_greedy_tokens_compared"] > 0
        assert row["size_bytes"] > 4 * content["model"]["num_parameters"]


def test_a_run_before_and_after_its_first_model(run, tmp_path, model_folder):
    (tmp_path / RUN_CONFIG).write_text("")
    assert set(inspect(run, tmp_path)) == {"folder", "kind", "files"}
    (tmp_path / RUN_MODEL).symlink_to(model_folder)
    (tmp_path / RUN_SUMMARY).write_text(json.dumps({"validation_loss": 1.5}))
    content = inspect(run, tmp_path)
    assert content["kind"] == "run"
    assert content["run"] == {"validation_loss": 1.5}
    assert content["model"]["num_layers"] == 2


def test_the_task_of_a_fine_tuned_model(run, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    DEFAULTS["translation"].write(folder)
    assert inspect(run, folder)["task"] == dataclasses.asdict(DEFAULTS["translation"])
    assert [line for line in run("inspect", folder).out.splitlines() if line.split()[:1] == ["prompt"]] == [
        "  prompt          {source}\\nTranslation:"
    ]


def test_for_people(run, bundle):
    outcome = run("inspect", bundle)
    assert outcome.code == 0
    lines = [line.split() for line in outcome.out.splitlines()]
    assert lines[0] == [f"{bundle}:", "a", "bundle"]
    assert ["vocabulary_size", "300"] in lines
    assert ["scale_attn_weights", "True"] in lines
    assert ["num_parameters", f"{GPT2CausalLM.from_preset(bundle).count_params():,}"] in lines
    for name in ("onnx/model.onnx", "saved_model/1", "kerasgpt.json"):
        assert name in outcome.out


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "llama"}'])
def test_damaged_folders_are_named(refuses, tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    assert str(tmp_path / "config.json") in refuses("inspect", tmp_path, code=1)


def test_what_is_no_folder_of_ours(refuses, tmp_path):
    assert "no such folder" in refuses("inspect", tmp_path / "no", code=1)
    assert "neither a model folder" in refuses("inspect", tmp_path, code=1)


def test_a_bundle_without_its_report(refuses, bundle_copy):
    (bundle_copy / "export_report.json").unlink()
    assert "export_report.json: cannot read" in refuses("inspect", bundle_copy, code=1)
    for damaged in ("{}", '{"artifacts": 3}', '{"artifacts": [{}]}'):
        (bundle_copy / "export_report.json").write_text(damaged)
        assert "export_report.json: has no list of artifacts" in refuses("inspect", bundle_copy, code=1)


def test_the_graphs_of_a_bundle(run, bundle):
    graphs = inspect(run, bundle)["graphs"]
    assert set(graphs) == {ONNX_MODEL, FAST_FP32}
    graph, expected = graphs[ONNX_MODEL], onnx.load(bundle / ONNX_MODEL)
    assert graph["size_bytes"] == (bundle / ONNX_MODEL).stat().st_size
    assert graph["opsets"] == {"ai.onnx": 20}
    assert graph["num_nodes"] == sum(graph["operators"].values()) == len(expected.graph.node)
    assert graph["operators"]["LayerNormalization"] == 5
    assert graphs[FAST_FP32]["operators"]["com.microsoft.GroupQueryAttention"] == 2
    assert graph["inputs"][0] == {
        "name": "input_ids",
        "dtype": "int64",
        "shape": ["batch_size", "sequence_length"],
    }
    assert graph["outputs"][0]["shape"] == ["batch_size", "sequence_length", 300]
    assert [row["dtype"] for row in graph["parts"]["attention"]] == ["float32"]


def test_the_graphs_for_people(run, bundle):
    out = run("inspect", bundle).out
    section = out[out.index(f"\n{FAST_FP32}\n") :].split("\n\n")[0]
    assert "2 com.microsoft.GroupQueryAttention" in section
    assert "4 x past_key_values.* float32 (batch_size, 2, cache_capacity, 8)" in section
    assert "shared with the embeddings" in section
    size = sum(path.stat().st_size for path in (bundle / "onnx").glob("fast_fp32.onnx*"))
    assert size > 100_000  # its weights beside it included
    assert f"{size:,} bytes" in section


def test_what_is_shown_is_the_file_itself(run, bundle_copy):
    model = onnx.load(bundle_copy / ONNX_MODEL)
    model.graph.node[-1].op_type = "Identity"
    onnx.save(model, bundle_copy / ONNX_MODEL)
    assert inspect(run, bundle_copy)["graphs"][ONNX_MODEL]["operators"]["Identity"] == 1


def test_a_damaged_graph_is_named(refuses, bundle_copy):
    whole = (bundle_copy / ONNX_MODEL).read_bytes()
    (bundle_copy / ONNX_MODEL).write_bytes(whole[:-10])
    sentence = refuses("inspect", bundle_copy, code=1)
    assert f"{bundle_copy / ONNX_MODEL}: not an ONNX file, or a damaged one" in sentence


def test_nothing_heavy_is_imported(bundle):
    script = (
        "import sys\nfrom kerasgpt.cli import main\n"
        f"assert main(['inspect', {str(bundle)!r}]) == 0\n"
        "print([name for name in ('tensorflow', 'keras', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert child.stdout.splitlines()[-1] == "[]"
