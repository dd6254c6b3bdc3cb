from pathlib import Path
from types import SimpleNamespace

import pytest

from kerasgpt import GPT2CausalLM, GPT2Config, Tokenizer
from kerasgpt.errors import MissingExtraError, UsageError
from kerasgpt.export.price import MAX_PERPLEXITY_INCREASE
from kerasgpt.export.requests import (
    DIRECT,
    TF2ONNX,
    align_end_of_text,
    check_effects,
    check_embeds,
    check_model,
    check_provenance,
    check_request,
)


def test_a_provenance_that_json_cannot_hold_is_refused():
    check_provenance(None)
    check_provenance({"trained": {"steps": 5, "loss": 1.5, "by": ["me"]}})
    with pytest.raises(UsageError, match="provenance: Object of type PosixPath is not JSON"):
        check_provenance({"source": Path("here")})


@pytest.mark.parametrize(
    ("formats", "precisions", "writer", "sentence"),
    [
        (["onx"], ["fp32"], DIRECT, "unknown format 'onx': did you mean 'onnx'"),
        (["onnx"], ["fp23"], DIRECT, "unknown precision 'fp23': did you mean 'fp32'"),
        (["onnx"], ["fp32"], "drect", "unknown writer 'drect': did you mean 'direct'"),
        ([], ["fp32"], DIRECT, "nothing to export"),
        (["onnx"], [], DIRECT, "nothing to export"),
    ],
)
def test_what_is_unknown_is_named(formats, precisions, writer, sentence, tmp_path: Path):
    with pytest.raises(UsageError, match=sentence):
        check_request(formats, precisions, tmp_path / "bundle", writer)


def test_what_is_possible_passes(tmp_path: Path):
    for writer in (DIRECT, TF2ONNX):
        check_request(["onnx"], ["fp32"], tmp_path / "bundle", writer)
    (tmp_path / "kerasgpt.json").write_text("{}")
    check_request(["onnx"], ["fp32"], tmp_path, DIRECT)  # a bundle may be replaced
    (tmp_path / "kerasgpt.json").rename(tmp_path / "mine.json")
    with pytest.raises(UsageError, match="exists and is no bundle"):
        check_request(["onnx"], ["fp32"], tmp_path, DIRECT)


def test_a_package_that_is_missing_is_asked_for(tmp_path: Path, without):
    without("tf2onnx")
    check_request(["onnx"], ["fp32"], tmp_path / "b", DIRECT)
    with pytest.raises(MissingExtraError, match=r"tf2onnx.*pip install 'kerasgpt\[export\]'"):
        check_request(["onnx"], ["fp32"], tmp_path / "b", TF2ONNX)


IDLE = {
    "xla": False,
    "calibration_text": "",
    "evaluation_text": "",
    "max_perplexity_increase": MAX_PERPLEXITY_INCREASE,
}


@pytest.mark.parametrize(
    ("formats", "precisions", "options", "sentence"),
    [
        (["onnx"], ["fp32"], {"xla": True}, "xla: is of the SavedModel, and the formats are onnx: add saved"),
        (["onnx"], ["fp32", "fp16"], {"calibration_text": "a"}, "asked for is onnx in fp32,fp16: add one"),
        (["saved_model"], ["int8"], {"calibration_text": "a"}, "asked for is saved_model in int8"),
        (["onnx"], ["int8"], {"max_perplexity_increase": 1.0}, "at most 1 %: .* evaluation data, and there"),
    ],
)
def test_what_would_have_no_effect_is_refused(formats, precisions, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_effects(formats, precisions, **{**IDLE, **options})


def test_what_has_an_effect_passes():
    check_effects(["onnx"], ["fp32"], **IDLE)
    check_effects(["saved_model", "onnx"], ["int4"], **{**IDLE, "xla": True, "calibration_text": "a"})
    check_effects(["onnx"], ["int8"], **{**IDLE, "evaluation_text": "a", "max_perplexity_increase": 1.0})


def test_vectors_are_read_from_onnx_by_our_own_writer():
    check_embeds(True, ["saved_model", "onnx"], DIRECT)
    check_embeds(False, ["saved_model"], TF2ONNX)
    with pytest.raises(UsageError, match="inputs_embeds: writes an ONNX file, .* saved_model: add onnx to"):
        check_embeds(True, ["saved_model"], DIRECT)
    with pytest.raises(UsageError, match="the writer tf2onnx has no file .*; take the writer direct"):
        check_embeds(True, ["onnx"], TF2ONNX)


def test_a_gpt2_suits_both_writers(model):
    check_model(model, ["saved_model", "onnx"], ["fp32", "int8"], DIRECT)
    check_model(model, ["onnx"], ["fp32"], TF2ONNX)


def test_a_quantised_model_is_refused_as_such(tokenizer):
    model = GPT2CausalLM(GPT2Config(tokenizer.vocabulary_size, 8, num_layers=1, num_heads=1, hidden_dim=4))
    model.build()
    model.backbone.blocks[0].attention.qkv.quantize("int8")
    with pytest.raises(UsageError, match="attention/qkv: is quantised to int8; give the model before"):
        check_model(model, ["onnx"], ["fp32"], DIRECT)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"vocabulary_size": 304}, (256, 256)),  # named by nobody: the last id of a padded vocabulary
        ({"vocabulary_size": 304, "bos_token_id": 5}, (5, 256)),
        ({"vocabulary_size": 257}, (256, 256)),
        ({"vocabulary_size": 257, "bos_token_id": 0, "eos_token_id": 0}, (256, 256)),
    ],
)
def test_a_configuration_names_the_tokenizers_end_of_text(names, expected):
    model = SimpleNamespace(config=GPT2Config(**names))
    align_end_of_text(model, Tokenizer.from_merges([]))
    assert (model.config.bos_token_id, model.config.eos_token_id) == expected


def test_an_end_at_which_nothing_would_stop_is_refused():
    model = SimpleNamespace(config=GPT2Config(vocabulary_size=258, eos_token_id=256))
    with pytest.raises(UsageError, match=r"eos_token_id 256 \(<\|end\|>\) of the model is not .*\(257\)"):
        align_end_of_text(model, Tokenizer.from_merges([], ("<|end|>",)))
