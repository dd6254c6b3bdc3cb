"""OpenAI's TensorFlow checkpoint: names, shapes, numbers, and one sentence for what is damaged."""

import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from kerasgpt.checkpoints.mapping import checked_arrays, named_arrays
from kerasgpt.checkpoints.openai import read_folder, read_hparams
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.models.gpt2 import GPT2CausalLM


def test_every_number_arrives_where_it_belongs(openai_folder, openai_arrays):
    found = named_arrays(GPT2CausalLM.from_preset(openai_folder))
    assert len(found) == len(openai_arrays)
    for (path, theirs), (name, ours) in zip(openai_arrays.items(), found.items(), strict=True):
        assert path.split("/")[-2:-1] == name.split(".")[-2:-1] or path in ("model/wte", "model/wpe")
        assert np.array_equal(ours, theirs[0] if path.endswith("/w") else theirs), path


def test_its_configuration_is_openais(openai_folder):
    config, arrays = read_folder(openai_folder, weights=False)
    assert arrays == {}
    assert config == GPT2Config(271, 12, num_layers=2, num_heads=2, hidden_dim=8)


def test_the_124m_models_sizes(tmp_path):
    sizes = {"n_vocab": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}
    (tmp_path / "hparams.json").write_text(json.dumps(sizes))
    config = read_hparams(tmp_path / "hparams.json")
    assert config == GPT2Config.from_preset("gpt2")
    assert config.num_parameters == 124_439_808


def test_what_an_optimizer_kept_is_left_out(openai_arrays, tmp_path, write_openai):
    slots = {f"{name}/Adam": array for name, array in openai_arrays.items()}
    folder = write_openai(tmp_path / "tuned", openai_arrays | slots | {"beta1_power": np.float32(0.9)})
    assert len(list(checked_arrays(*reversed(read_folder(folder)), "tuned"))) == len(openai_arrays)


@pytest.mark.parametrize("kind", ["int8", "bool", "complex64", "S3"])
def test_numbers_of_another_kind_are_no_weights(openai_arrays, tmp_path, write_openai, kind):
    table = openai_arrays["model/wte"]
    folder = write_openai(tmp_path / "other", openai_arrays | {"model/wte": table.astype(kind)})
    with pytest.raises(
        KerasGPTError, match=r"model\.ckpt: model/wte holds \w+; give weights of a float type"
    ):
        GPT2CausalLM.from_preset(folder)


def test_weights_in_bfloat16_are_read(openai_arrays, tmp_path, write_openai):
    rounded = {name: array.astype(ml_dtypes.bfloat16) for name, array in openai_arrays.items()}
    folder = write_openai(tmp_path / "half", rounded)
    found = dict(checked_arrays(*reversed(read_folder(folder)), "half"))
    np.testing.assert_array_equal(found["transformer.wte.weight"], rounded["model/wte"].astype("float32"))


def test_a_layer_too_many_is_named(openai_arrays, tmp_path, write_openai):
    folder = write_openai(tmp_path / "deep", openai_arrays | {"model/h2/ln_1/g": np.ones(8, "float32")})
    with pytest.raises(KerasGPTError, match=r"deep: holds model/h2/ln_1/g, which this model has not"):
        GPT2CausalLM.from_preset(folder)


def test_a_cut_data_file_is_named_with_the_weight(openai_folder):
    path = openai_folder / "model.ckpt.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(KerasGPTError, match=r"model\.ckpt: cannot read model/\S+ \(.*\); its data is cut"):
        GPT2CausalLM.from_preset(openai_folder)


def test_a_flipped_bit_is_noticed(openai_folder):
    path = openai_folder / "model.ckpt.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(KerasGPTError, match=r"model\.ckpt: cannot read model/\S+ \(.*\); its data is cut"):
        GPT2CausalLM.from_preset(openai_folder)


def test_a_damaged_or_missing_index_is_named(openai_folder):
    index = openai_folder / "model.ckpt.index"
    index.write_bytes(index.read_bytes()[:40])
    with pytest.raises(KerasGPTError, match=r"model\.ckpt\.index: cannot read"):
        read_folder(openai_folder)
    index.unlink()
    with pytest.raises(KerasGPTError, match=r"holds no model\.ckpt\.index; copy it too"):
        read_folder(openai_folder)


def test_a_path_that_looks_like_a_pattern_is_none(openai_folder, openai_arrays, tmp_path):
    there = Path(shutil.copytree(openai_folder, tmp_path / "model [1]" / "gpt*"))
    _, arrays = read_folder(there)
    assert len(arrays) == len(openai_arrays)
    for array in arrays.values():
        assert np.isfinite(array.read()).all()


def test_two_checkpoints_are_one_too_many(openai_folder):
    shutil.copy(openai_folder / "model.ckpt.index", openai_folder / "model-100.index")
    with pytest.raises(KerasGPTError, match="holds 2 checkpoints; leave one"):
        read_folder(openai_folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"n_head": 3}, "not a multiple of n_head 3"), ({"n_layer": "2"}, r"hparams\.json: n_layer is \"2\"")],
)
def test_sizes_that_make_no_gpt2_are_refused(openai_folder, change, sentence):
    path = openai_folder / "hparams.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KerasGPTError, match=sentence):
        read_folder(openai_folder)


def test_a_missing_size_is_named(openai_folder):
    (openai_folder / "hparams.json").write_text('{"n_vocab": 271}')
    with pytest.raises(KerasGPTError, match=r"hparams\.json: has no n_ctx"):
        read_folder(openai_folder)
