"""Each further ONNX file is proved in a fresh process, priced, reported, and refused when it is wrong."""

import json

import onnx
import pytest
from onnx import numpy_helper

from kerasgpt import GenerationConfig, export_bundle, load
from kerasgpt.artifacts import FAST_INT4, FAST_INT8, ONNX_MODEL, VARIANTS
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.export import artifact_writing, calibration, variants
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.proof import prove
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.manifest import Manifest
from kerasgpt.models.language_model import KerasStepModel

PRECISIONS = ("fp32", "fp16", "int8", "int4")


@pytest.fixture(scope="module")
def wide(trained, shakespeare, tmp_path_factory, prove_only):
    """A bundle with every precision, its proofs, and what was said."""
    folder = tmp_path_factory.mktemp("wide") / "bundle"
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact_writing, "prove", prove_only(*VARIANTS))
        proofs = export_bundle(
            *trained,
            folder,
            ("onnx",),
            PRECISIONS,
            generation_config=GenerationConfig(max_new_tokens=8),
            inputs_embeds=True,
            evaluation_text=shakespeare[:400],
            tell=said.append,
        )
    return folder, {proof.engine: proof for proof in proofs}, said


def test_every_precision_is_written_proved_and_listed(wide):
    folder, proofs, said = wide
    assert list(proofs) == ["keras", "onnx", *VARIANTS]
    assert all(proof.parity.holds for proof in proofs.values())
    assert proofs["fast_fp32"].parity.max_logit_error <= 1e-4
    assert proofs["fast_fp32"].parity.max_cached_logit_error <= 1e-4
    manifest = Manifest.read(folder)
    assert manifest.precisions == list(PRECISIONS)
    assert {file for file, _ in VARIANTS.values()} < manifest.files.keys()
    assert {"parity_fast_int8.npz", "parity_fast_int4.npz"} < manifest.files.keys()
    for file, _ in VARIANTS.values():
        assert f"writing {file}" in said


def test_the_report_says_what_each_costs(wide):
    folder, proofs, _ = wide
    rows = {
        row["artifact"]: row for row in json.loads((folder / "export_report.json").read_text())["artifacts"]
    }
    for name, (file, precision) in VARIANTS.items():
        assert rows[file]["precision"] == precision
        assert rows[file]["perplexity"] == proofs[name].perplexity
    assert rows[FAST_INT8]["perplexity"] == pytest.approx(rows["onnx/model.onnx"]["perplexity"], rel=0.1)
    assert (
        f"| `{FAST_INT8}` | {rows[FAST_INT8]['perplexity']:.4f} |"
        in (folder / "export_report.md").read_text()
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_writes_text(wide, precision):
    generation = load(wide[0], "onnx", precision).generate(["The"])[0]
    assert len(generation.token_ids) == 8 or generation.finish_reason == "stop"


@pytest.mark.parametrize("name", ["fast_fp32", "fast_int8", "fast_int4", "onnx_int8", "onnx_int4"])
def test_an_altered_projection_is_refused(wide, name, monkeypatch):
    folder, _, _ = wide
    path = folder / VARIANTS[name][0]
    before = path.read_bytes()
    model = onnx.load(path)
    (tensor,) = [t for t in model.graph.initializer if t.name.endswith("h.1.attn.c_attn.bias")]
    array = numpy_helper.to_array(tensor).copy()
    array += 0.5
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    try:
        onnx.save(model, path)
        assert not prove(folder, name).parity.holds
    finally:
        path.write_bytes(before)


def test_a_price_above_the_limit_fails_the_export(trained, tmp_path, monkeypatch, prove_only, shakespeare):
    monkeypatch.setattr(artifact_writing, "prove", prove_only())
    with pytest.raises(KerasGPTError, match=r"raises the perplexity by .* %, allowed are -99 %"):
        export_bundle(
            *trained,
            tmp_path / "bundle",
            ("onnx",),
            evaluation_text=shakespeare[:200],
            max_perplexity_increase=-99,
        )
    assert not any(tmp_path.iterdir())


def test_a_shape_that_cannot_be_fused_says_so():
    config = GPT2Config(hidden_dim=12, num_heads=4)
    names, sentence = variants.chosen(config, PRECISIONS)
    assert names == ["onnx_fp16", "onnx_int8", "onnx_int4"]
    assert sentence.startswith(
        "left out onnx/fast_fp32.onnx, onnx/fast_int8.onnx, onnx/fast_int4.onnx: a head is"
    )
    assert variants.chosen(GPT2Config(), ["fp32", "int4"]) == (["fast_fp32", "fast_int4", "onnx_int4"], "")


def test_a_calibration_text_takes_the_place_of_the_models_own(trained, tmp_path, shakespeare, monkeypatch):
    model, tokenizer = trained
    read = []

    def observe(config, weights, ids, **options):
        read.append(ids)
        return calibration.observations(config, weights, ids, **options)

    monkeypatch.setattr(variants, "observations", observe)
    lm = StepLanguageModel(KerasStepModel(model), tokenizer)
    matrices = []
    for text in (shakespeare[:2000], shakespeare[-2000:]):
        folder = tmp_path / str(len(matrices))
        model.save_to_preset(folder)
        tokenizer.save_to_preset(folder)
        weights = named_arrays(model)
        write_onnx(model.config, weights, folder / ONNX_MODEL)
        variants.VariantWriter(model.config, weights, lm, folder, text).write("fast_int4")
        assert tokenizer.encode(text)[: read[-1].shape[1]] == read[-1][0].tolist()
        matrices.append((folder / f"{FAST_INT4}_data").read_bytes())
    assert matrices[0] != matrices[1]
