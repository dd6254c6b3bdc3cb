"""Which format a folder is taken for, and which tokenizer lies in it."""

import json
import shutil

import pytest

from kerasgpt.checkpoints.formats import find_format, open_tokenizer, read_checkpoint, read_tokenizer
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.bpe import Tokenizer


@pytest.fixture
def tokenizer():
    return Tokenizer.learn(["low lower lowest newer newest"], 271)


@pytest.mark.parametrize(
    ("fixture", "title"),
    [
        ("openai_folder", "an OpenAI TensorFlow checkpoint"),
        ("keras_hub_folder", "a KerasHub preset"),
        ("tensorflow_folder", "a TensorFlow model of transformers"),
        ("model_folder", "a Hugging Face folder"),
    ],
)
def test_each_format_is_told_apart(request, fixture, title):
    assert find_format(request.getfixturevalue(fixture)).title == title


def test_safetensors_are_preferred(golden_folder, tmp_path):
    """As on the hub, where GPT-2 lies in every form at once."""
    folder = shutil.copytree(golden_folder, tmp_path / "model")
    for name in ("tf_model.h5", "pytorch_model.bin"):
        (folder / name).write_bytes(b"")
    assert find_format(folder).title == "a Hugging Face folder"


def test_a_run_is_read_by_its_model(golden_folder, tmp_path):
    shutil.copytree(golden_folder, tmp_path / "run" / "model")
    assert len(read_checkpoint(tmp_path / "run")[1]) > 20


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("no", "no: no such folder"), ("model.safetensors", "is a file; give the folder it lies in")],
)
def test_what_is_no_folder_is_refused(tmp_path, name, sentence):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(KerasGPTError, match=sentence):
        read_checkpoint(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(KerasGPTError, match="neither a model folder"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("fixture", "vocabulary", "merges"),
    [
        ("openai_folder", "encoder.json", "vocab.bpe"),
        ("keras_hub_folder", "assets/tokenizer/vocabulary.json", "assets/tokenizer/merges.txt"),
        ("tensorflow_folder", "vocab.json", "merges.txt"),
    ],
)
def test_the_tokenizer_of_each_format_is_read(request, tokenizer, tmp_path, fixture, vocabulary, merges):
    folder = request.getfixturevalue(fixture)
    assert read_tokenizer(folder) is None
    tokenizer.save_to_preset(tmp_path / "t")
    for name, target in (("vocab.json", vocabulary), ("merges.txt", merges)):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "t" / name, folder / target)
    found = read_tokenizer(folder)
    assert isinstance(found, Tokenizer)
    assert (found.vocabulary, found.merges) == (tokenizer.vocabulary, tokenizer.merges)


def test_merges_of_unknown_pieces_are_refused(openai_folder, tokenizer):
    (openai_folder / "encoder.json").write_text(json.dumps(tokenizer.vocabulary))
    (openai_folder / "vocab.bpe").write_text("#version: 0.2\nxx yy\n")
    with pytest.raises(KerasGPTError, match=r"117M: cannot read the vocabulary \(the merges do not fit"):
        read_tokenizer(openai_folder)


def test_a_tokenizer_is_asked_of_a_preset_or_of_a_folder_that_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_tokenizer("gpt2").vocabulary_size == 50257
    with pytest.raises(KerasGPTError, match="nowhere: no such folder"):
        open_tokenizer(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(KerasGPTError, match=r"empty: no tokenizer\.json"):
        open_tokenizer(str(tmp_path / "empty"))
