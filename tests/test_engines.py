"""The engine that is asked for is the engine that answers, or one sentence says why not."""

import shutil

import pytest

from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError
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
        ({"engine": "keras", "precision": "int8"}, UsageError, "the keras engine has fp32 only"),
        ({"engine": "onnx"}, KerasGPTError, r"has no onnx/model\.onnx: export it first"),
        ({"engine": "saved_model"}, KerasGPTError, "has no saved_model/1: export it first"),
    ],
)
def test_what_cannot_be_opened_is_refused(model_folder, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        load(model_folder, **arguments)


def test_a_folder_with_nothing_to_run_is_refused(model_folder):
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="nothing to run"):
        load(model_folder)
