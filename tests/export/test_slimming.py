"""A slim bundle keeps the fast file alone, runs, verifies, and says what it was compared with."""

import json
import shutil
from pathlib import Path

import pytest

from kerasgpt import GenerationConfig, GPT2Config, export_bundle, load
from kerasgpt.artifacts import FAST_INT8, GENAI_CONFIG, MANIFEST, PARITY
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export import artifact_writing
from kerasgpt.export.slimming import left_out, remove
from kerasgpt.export.verification import verify
from kerasgpt.manifest import Manifest
from kerasgpt.recurrent_config import RecurrentConfig

SETTINGS = GenerationConfig(max_new_tokens=8)


@pytest.fixture(scope="module")
def slim(trained, tmp_path_factory, prove_only) -> Path:
    folder = tmp_path_factory.mktemp("slim") / "bundle"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(artifact_writing, "prove", prove_only("fast_int8"))
        export_bundle(
            *trained,
            folder,
            ("onnx",),
            ("int8",),
            weights="none",
            fast_only=True,
            generation_config=SETTINGS,
        )
    return folder


def test_only_the_fast_file_stays(slim: Path) -> None:
    manifest = Manifest.read(slim)
    assert manifest.formats == []
    assert not manifest.damaged_files(slim)
    heavy = {name for name in manifest.files if name.endswith((".onnx", "_data", ".safetensors", ".npz"))}
    assert heavy == {FAST_INT8, f"{FAST_INT8}_data", PARITY, "parity_fast_int8.npz"}
    assert "transformers.js_config" not in read_json(slim / "config.json")


def test_it_runs_and_verifies(slim: Path) -> None:
    assert load(slim).generate(["To be"])[0].text == load(slim, "onnx", "int8").generate(["To be"])[0].text
    checks = {check.name: check.status for check in verify(slim, strict=True).checks}
    assert checks == {MANIFEST: "ok", FAST_INT8: "ok"}


def test_the_report_tells_what_was_left_out(slim: Path) -> None:
    rows = json.loads((slim / "export_report.json").read_text())["artifacts"]
    assert {row["artifact"] for row in rows if "left_out" not in row} == {FAST_INT8}
    assert {row["artifact"] for row in rows if "left_out" in row} == {
        "model.safetensors",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
    }
    assert "`onnx/model.onnx`, left out | fp32" in (slim / "export_report.md").read_text()


def test_genai_opens_the_fast_file(slim: Path) -> None:
    config = read_json(slim / GENAI_CONFIG)
    assert config["model"]["decoder"]["filename"] == FAST_INT8
    assert config["model"]["decoder"]["inputs"]["past_key_names"] == "past_key_values.%d.key"
    assert config["search"]["past_present_share_buffer"] is True


def test_other_precisions_and_engines_are_refused(slim: Path) -> None:
    with pytest.raises(KerasGPTError, match="has no ONNX file in int4: ask for the precision int8"):
        load(slim, precision="int4")
    with pytest.raises(KerasGPTError, match="has no ONNX file in fp32: ask for the precision int8"):
        load(slim, precision="fp32")
    with pytest.raises(
        KerasGPTError,
        match="the keras engine needs; use the onnx engine, or export .* without --weights none$",
    ):
        load(slim, "keras")


def test_a_bundle_that_lost_its_files_is_not_taken_for_a_slim_one(slim: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(slim, tmp_path / "bundle")
    values = read_json(damaged / MANIFEST)
    (damaged / MANIFEST).write_text(json.dumps(values | {"formats": ["onnx"]}))
    with pytest.raises(KerasGPTError, match="has no ONNX file in fp32"):
        load(damaged)


def test_weights_alone_can_be_left_out() -> None:
    config = GPT2Config()
    assert left_out(config, ["onnx"], ["fp32"], "float32", fast_only=False) == []
    assert left_out(config, ["onnx"], ["fp32"], "none", fast_only=False) == ["keras"]
    kept = {"fast_fp32", "fast_int8", "fast_int4", "onnx_fp16", "onnx_int8", "onnx_int4", "onnx"}
    kept -= set(left_out(config, ["onnx"], ["int4", "fp32"], "float32", fast_only=True))
    assert kept == {"fast_fp32", "fast_int4"}


@pytest.mark.parametrize(
    ("config", "formats", "precisions", "weights", "sentence"),
    [
        (GPT2Config(), ["onnx"], ["fp32"], "float", "unknown form of the weights 'float'"),
        (GPT2Config(), ["saved_model"], ["fp32"], "none", "the formats name no onnx; leave out --fast-only"),
        (GPT2Config(), ["onnx"], ["fp16"], "none", "there is none in fp16"),
        (GPT2Config(hidden_dim=12, num_heads=4), ["onnx"], ["int8"], "none", "a head is"),
        (RecurrentConfig(), ["onnx"], ["fp32"], "none", "a recurrent model has none"),
    ],
)
def test_what_cannot_be_kept_is_refused(config, formats, precisions, weights, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        left_out(config, formats, precisions, weights, fast_only=True)


def test_the_file_that_reads_vectors_is_not_to_be_lost() -> None:
    with pytest.raises(UsageError, match=r"model_inputs_embeds\.onnx, the file that reads vectors"):
        left_out(GPT2Config(), ["onnx"], ["fp32"], "none", fast_only=True, inputs_embeds=True)


def test_answers_that_others_need_stay(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    for name in (PARITY, "parity_onnx_int8.npz", "onnx/model.onnx", "onnx/model_quantized.onnx_data"):
        (tmp_path / name).write_bytes(b"")
    remove(tmp_path, ["onnx", "onnx_int8"])
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [PARITY]
    assert not any((tmp_path / "onnx").iterdir())
