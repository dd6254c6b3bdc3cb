"""A GPT-2's weights as each format stores them, written out by hand: a second opinion on the name table."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

SIZES = {"V": 271, "P": 12, "D": 8, "N": 2, "F": 20, "L": 2}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Random weights by Hugging Face's names, two layers."""
    generator = np.random.default_rng(5)
    V, P, D, F = (SIZES[name] for name in "VPDF")
    shapes = {"transformer.wte.weight": (V, D), "transformer.wpe.weight": (P, D)}
    for layer in range(SIZES["L"]):
        prefix = f"transformer.h.{layer}"
        shapes |= {
            f"{prefix}.ln_1.weight": (D,),
            f"{prefix}.ln_1.bias": (D,),
            f"{prefix}.attn.c_attn.weight": (D, 3 * D),
            f"{prefix}.attn.c_attn.bias": (3 * D,),
            f"{prefix}.attn.c_proj.weight": (D, D),
            f"{prefix}.attn.c_proj.bias": (D,),
            f"{prefix}.ln_2.weight": (D,),
            f"{prefix}.ln_2.bias": (D,),
            f"{prefix}.mlp.c_fc.weight": (D, F),
            f"{prefix}.mlp.c_fc.bias": (F,),
            f"{prefix}.mlp.c_proj.weight": (F, D),
            f"{prefix}.mlp.c_proj.bias": (D,),
        }
    shapes |= {"transformer.ln_f.weight": (D,), "transformer.ln_f.bias": (D,)}
    return {name: generator.normal(size=shape).astype("float32") for name, shape in shapes.items()}


@pytest.fixture
def huggingface_config() -> dict:
    sizes = dict(
        zip(
            ("vocab_size", "n_positions", "n_embd", "n_head", "n_inner", "n_layer"),
            SIZES.values(),
            strict=True,
        )
    )
    return {"model_type": "gpt2", **sizes}


@pytest.fixture
def openai_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """OpenAI's names; their feed-forward is always four times as wide, so the narrow one is widened."""
    found = {}
    for name, array in arrays.items():
        path = name.replace("transformer.", "model/").replace("h.0.", "h0/").replace("h.1.", "h1/")
        path = (
            path.replace(".weight", "/g" if ".ln_" in name else "/w").replace(".bias", "/b").replace(".", "/")
        )
        path = path.removesuffix("/w") if path.startswith(("model/wte", "model/wpe")) else path
        if "c_fc" in name:
            array = np.resize(array, (*array.shape[:-1], 4 * SIZES["D"]))
        if "mlp.c_proj.weight" in name:
            array = np.resize(array, (4 * SIZES["D"], SIZES["D"]))
        found[path] = array[None] if path.endswith("/w") else array
    return found


@pytest.fixture
def openai_folder(openai_arrays: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """A checkpoint that TensorFlow wrote."""
    return _write_openai(tmp_path / "117M", openai_arrays)


@pytest.fixture
def write_openai() -> Callable[[Path, dict[str, np.ndarray]], Path]:
    """Write such a checkpoint of other arrays."""
    return _write_openai


def _write_openai(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    import tensorflow as tf

    folder.mkdir()
    sizes = {"n_vocab": "V", "n_ctx": "P", "n_embd": "D", "n_head": "N", "n_layer": "L"}
    hparams = {name: SIZES[letter] for name, letter in sizes.items()}
    (folder / "hparams.json").write_text(json.dumps(hparams))
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model.ckpt"),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    return folder


@pytest.fixture
def tensorflow_folder(arrays: dict[str, np.ndarray], huggingface_config: dict, tmp_path: Path) -> Path:
    """What TFGPT2LMHeadModel.save_pretrained wrote."""
    folder = tmp_path / "tf"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(huggingface_config))
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = [b"transformer"]
        group = file.create_group("transformer")
        names = []
        for name, array in arrays.items():
            is_norm = ".ln_" in name
            path = name.replace(".", "/").replace("/h/", "/h_._").replace("wpe/weight", "wpe/embeddings")
            path = path.replace("/weight", "/gamma").replace("/bias", "/beta") if is_norm else path
            path = f"tfgpt2lm_head_model/{path}:0"
            group[path] = array[None] if array.ndim == 1 and not is_norm else array  # a bias is (1, n)
            names.append(path.encode())
        group.attrs["weight_names"] = names
    return folder


KERAS_HUB_LAYERS = {
    "ln_1": "_self_attention_layer_norm",
    "attn.c_proj": "_self_attention_layer/output_dense",
    "ln_2": "_feedforward_layer_norm",
    "mlp.c_fc": "_feedforward_intermediate_dense",
    "mlp.c_proj": "_feedforward_output_dense",
}


@pytest.fixture
def keras_hub_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """KerasHub's names in a weights file, and its shapes with heads apart."""
    D, N = SIZES["D"], SIZES["N"]
    found = {
        "reversible_embedding/vars/0": arrays["transformer.wte.weight"],
        "position_embedding/vars/0": arrays["transformer.wpe.weight"],
        "layer_normalization/vars/0": arrays["transformer.ln_f.weight"],
        "layer_normalization/vars/1": arrays["transformer.ln_f.bias"],
    }
    for layer, decoder in enumerate(["transformer_decoder", "transformer_decoder_1"]):
        kernel, bias = (arrays[f"transformer.h.{layer}.attn.c_attn.{part}"] for part in ("weight", "bias"))
        for index, part in enumerate(["query", "key", "value"]):
            path = f"{decoder}/_self_attention_layer/{part}_dense/vars"
            found[f"{path}/0"] = kernel[:, index * D : (index + 1) * D].reshape(D, N, D // N)
            found[f"{path}/1"] = bias[index * D : (index + 1) * D].reshape(N, D // N)
        for theirs, path in KERAS_HUB_LAYERS.items():
            kernel = arrays[f"transformer.h.{layer}.{theirs}.weight"]
            is_output = theirs == "attn.c_proj"
            found[f"{decoder}/{path}/vars/0"] = kernel.reshape(N, D // N, D) if is_output else kernel
            found[f"{decoder}/{path}/vars/1"] = arrays[f"transformer.h.{layer}.{theirs}.bias"]
    return found


@pytest.fixture
def keras_hub_folder(keras_hub_arrays: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """What a KerasHub GPT2Backbone's save_to_preset wrote, without a tokenizer."""
    folder = tmp_path / "preset"
    folder.mkdir()
    names = (
        "vocabulary_size",
        "max_sequence_length",
        "hidden_dim",
        "num_heads",
        "intermediate_dim",
        "num_layers",
    )
    settings = {"name": "gpt2_backbone", **dict(zip(names, SIZES.values(), strict=True)), "dropout": 0.2}
    content = {"class_name": "GPT2Backbone", "config": settings, "registered_name": "keras_hub>GPT2Backbone"}
    (folder / "config.json").write_text(json.dumps(content))
    with h5py.File(folder / "model.weights.h5", "w") as file:
        for path, array in keras_hub_arrays.items():
            file[f"layers/{path}"] = array
        file.create_group("layers/dropout/vars")
    return folder
