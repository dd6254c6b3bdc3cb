"""Model folders in every form Hugging Face writes them, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.checkpoints.native import read_folder, read_weights, write_model
from kerasgpt.checkpoints.stored import StoredArray
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.models.gpt2 import GPT2CausalLM


@pytest.fixture
def folder(golden_folder, tmp_path):
    return shutil.copytree(golden_folder, tmp_path / "model")


def rewritten(folder, change):
    arrays = change(load_file(folder / "model.safetensors"))
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def logits_error(folder, golden):
    return np.abs(
        np.asarray(GPT2CausalLM.from_preset(folder)(golden["input_ids"])) - golden["logits_float64"]
    ).max()


def test_bare_names_and_stray_masks_are_read(folder, golden):
    def bare(arrays):
        arrays = {name.removeprefix("transformer."): array for name, array in arrays.items()}
        return arrays | {
            "h.0.attn.bias": np.ones((1, 1, 4, 4), np.uint8),
            "h.0.attn.masked_bias": np.float32([-1e4]),
        }

    assert logits_error(rewritten(folder, bare), golden) < 1e-5


def test_a_tied_head_written_out_is_read(folder, golden):
    def with_head(arrays):
        return arrays | {"lm_head.weight": arrays["transformer.wte.weight"].copy()}

    assert logits_error(rewritten(folder, with_head), golden) < 1e-5


def test_shards_are_read(folder, golden):
    arrays = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(arrays)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, members in shards.items():
        save_file({name: arrays[name] for name in members}, folder / shard)
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert logits_error(folder, golden) < 1e-5


def test_writing_and_reading_changes_no_bit(folder, tmp_path):
    model = GPT2CausalLM.from_preset(folder)
    write_model(model, tmp_path / "copy")
    written, original = read_weights(tmp_path / "copy"), read_weights(folder)
    assert written.keys() == original.keys()
    assert all(np.array_equal(written[name], original[name]) for name in original)
    config, _ = read_folder(tmp_path / "copy")
    assert config == model.config


def test_an_untied_head_keeps_hugging_faces_orientation(tmp_path):
    config = GPT2Config(vocabulary_size=7, num_layers=1, num_heads=1, hidden_dim=4, tie_word_embeddings=False)
    model = GPT2CausalLM(config)
    model.save_to_preset(tmp_path)
    arrays = read_weights(tmp_path)
    assert arrays["lm_head.weight"].shape == (7, 4)
    again = GPT2CausalLM.from_preset(tmp_path)
    assert np.array_equal(again(np.arange(5)[None]), model(np.arange(5)[None]))


@pytest.mark.parametrize("room_bytes", [100, 20_000])
def test_a_disk_that_fills_up_leaves_the_model_that_was_there(tmp_path, full_disk, room_bytes):
    small = GPT2Config(vocabulary_size=7, max_sequence_length=4, num_layers=1, num_heads=1, hidden_dim=4)
    GPT2CausalLM(small).save_to_preset(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    larger = GPT2CausalLM(small.replace(hidden_dim=64))
    with full_disk(room_bytes), pytest.raises(KerasGPTError, match=rf"{tmp_path}/\w.*: cannot write \("):
        larger.save_to_preset(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    larger.save_to_preset(tmp_path)
    assert GPT2CausalLM.from_preset(tmp_path).config.hidden_dim == 64


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_every_float_type_is_read_as_its_own_numbers(folder, kind):
    def cast(arrays):
        return {name: array.astype(np.dtype(kind)) for name, array in arrays.items()}

    stored = load_file(rewritten(folder, cast) / "model.safetensors")
    arrays = named_arrays(GPT2CausalLM.from_preset(folder))
    for name, array in stored.items():
        assert array.dtype.name == kind
        assert np.array_equal(arrays[name], array.astype("float32"))


def test_whole_numbers_are_no_weights(folder):
    def rounded(arrays):
        return arrays | {"transformer.ln_f.bias": np.zeros(arrays["transformer.ln_f.bias"].shape, "int8")}

    with pytest.raises(KerasGPTError, match=r"model\.safetensors: transformer\.ln_f\.bias is stored as I8"):
        GPT2CausalLM.from_preset(rewritten(folder, rounded))


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(folder, damage):
    def damaged(arrays):
        arrays["transformer.h.1.attn.c_attn.weight"][3, 5] = damage
        return arrays

    with pytest.raises(
        KerasGPTError, match=r"transformer\.h\.1\.attn\.c_attn\.weight holds numbers that are not"
    ):
        GPT2CausalLM.from_preset(rewritten(folder, damaged))


def test_reading_a_folder_reads_no_weight_yet(folder):
    _, arrays = read_folder(folder)
    assert all(isinstance(array, StoredArray) for array in arrays.values())


def test_overrides_reach_the_model(folder):
    assert GPT2CausalLM.from_preset(folder, dropout=0.3).backbone.blocks[0].attention.dropout == 0.3


def test_a_missing_weight_is_named(folder):
    def without(arrays):
        del arrays["transformer.h.1.mlp.c_fc.bias"]
        return arrays

    with pytest.raises(KerasGPTError, match=r"has no transformer\.h\.1\.mlp\.c_fc\.bias"):
        GPT2CausalLM.from_preset(rewritten(folder, without))


def test_a_weight_of_the_wrong_shape_is_named(folder):
    def transposed(arrays):
        return arrays | {"transformer.wpe.weight": arrays["transformer.wpe.weight"][:-1].copy()}

    with pytest.raises(
        KerasGPTError, match=r"transformer\.wpe\.weight has shape .* its configuration asks for"
    ):
        GPT2CausalLM.from_preset(rewritten(folder, transposed))


@pytest.mark.parametrize("length", [0, 7, 8, 1000, -1])
def test_wherever_a_file_is_cut_it_is_named(folder, length):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(KerasGPTError, match=r"model\.safetensors: cannot read the weights"):
        GPT2CausalLM.from_preset(folder)


def test_a_missing_shard_is_named(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(KerasGPTError, match=r"model-00002-of-00002\.safetensors: is missing"):
        GPT2CausalLM.from_preset(folder)


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {}}])
def test_an_index_without_a_map_is_refused(folder, index):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(KerasGPTError, match=r"index\.json: has no weight_map"):
        GPT2CausalLM.from_preset(folder)


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", "..", "a/../../b"])
def test_a_shard_outside_the_folder_is_refused(folder, shard):
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"transformer.wte.weight": shard}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(KerasGPTError, match="outside the folder; refused"):
        GPT2CausalLM.from_preset(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"add_cross_attention": True}, "add_cross_attention is set"),
        ({"activation_function": "gelu_nwe"}, "did you mean 'gelu_new'"),
    ],
)
def test_what_is_not_a_gpt2_is_refused(folder, change, sentence):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KerasGPTError, match=sentence):
        GPT2CausalLM.from_preset(folder)


def test_more_layers_than_weights_are_refused_before_any_is_made(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 10**9}))
    sentence = r"holds \d+ weights, and its configuration asks for 1000000000 layers"
    for read in (read_folder, GPT2CausalLM.from_preset):
        with pytest.raises(KerasGPTError, match=sentence):
            read(folder)
