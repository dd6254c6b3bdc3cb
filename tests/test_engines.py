"""The engine that is asked for is the engine that answers, or one sentence says why not."""

import json
import shutil

import pytest
from safetensors.numpy import load_file, save_file

from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tokenizer.bpe import Tokenizer


@pytest.fixture
def model_folder(golden_folder, tmp_path):
    folder = shutil.copytree(golden_folder, tmp_path / "model")
    Tokenizer.learn(["some text"], 271).save_to_preset(folder)
    return folder


def test_auto_takes_the_engine_whose_file_is_there(model_folder):
    from kerasgpt.models.language_model import KerasStepModel

    assert isinstance(load(model_folder).model, KerasStepModel)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"engine": "onxx"}, UsageError, "did you mean 'onnx'"),
        ({"precision": "fp23"}, UsageError, "did you mean 'fp32'"),
        ({"precision": 8}, UsageError, "unknown precision '8'"),
        ({"engine": None}, UsageError, "unknown engine 'None'"),
        ({"engine": "keras", "precision": "int8"}, UsageError, "the keras engine has fp32 only"),
        ({"engine": "onnx"}, KerasGPTError, r"has no onnx/model\.onnx: export it first"),
        ({"engine": "saved_model"}, KerasGPTError, "has no saved_model/1: export it first"),
        ({"engine": "keras", "num_threads": 2}, UsageError, "the keras engine has no such setting"),
        ({"engine": "keras", "prefix_cache_tokens": 9}, UsageError, "the keras engine has no such setting"),
        (
            {"engine": "keras", "providers": "cuda"},
            UsageError,
            "providers cuda: the keras engine has no",
        ),
        ({"engine": "onnx", "num_threads": 0}, UsageError, "num_threads is 0: it must be 1 or more"),
        ({"engine": "onnx", "num_threads": 2.0}, UsageError, "num_threads is 2.0: it must be 1 or more"),
        ({"engine": "onnx", "num_threads": "2"}, UsageError, "num_threads is '2': it must be 1 or more"),
    ],
)
def test_what_cannot_be_opened_is_refused(model_folder, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        load(model_folder, **arguments)


def test_an_engine_without_its_file_says_which_one_has_its_own(tiny_bundle):
    with pytest.raises(KerasGPTError, match="which the saved_model engine needs; use the onnx engine$"):
        load(tiny_bundle, "saved_model")
    with pytest.raises(KerasGPTError, match="use the onnx engine, or export .* without --weights none$"):
        load(tiny_bundle, "keras")
    (tiny_bundle / "model.safetensors").touch()
    with pytest.raises(KerasGPTError, match="onnx engine, or export .* --formats onnx,saved_model$"):
        load(tiny_bundle, "saved_model")


def test_a_model_without_weights_names_what_reads_other_forms(model_folder):
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(KerasGPTError, match="the keras engine needs; 'kerasgpt import' reads other"):
        load(model_folder, "keras")


def test_a_folder_with_nothing_to_run_is_refused(model_folder):
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="nothing to run"):
        load(model_folder)


def test_weights_in_shards_are_run(model_folder):
    settings = GenerationConfig(max_new_tokens=6)
    (expected,) = load(model_folder).generate(["some"], settings)
    arrays = load_file(model_folder / "model.safetensors")
    (model_folder / "model.safetensors").unlink()
    names = sorted(arrays)
    weight_map = {}
    for number, members in enumerate((names[::2], names[1::2]), start=1):
        shard = f"model-{number:05}-of-00002.safetensors"
        save_file({name: arrays[name] for name in members}, model_folder / shard)
        weight_map |= dict.fromkeys(members, shard)
    (model_folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert load(model_folder).generate(["some"], settings)[0].token_ids == expected.token_ids
