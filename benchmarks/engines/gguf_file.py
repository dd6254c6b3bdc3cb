"""A Hugging Face GPT-2 folder as GGUF files: ``python gguf_file.py MODEL OUT``."""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Final

import gguf
import llama_cpp
import numpy as np
from safetensors.numpy import load_file

# Hugging Face's part of a layer -> llama.cpp's; matrices are laid out (out, in) there.
PARTS: Final = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def write_gguf(folder: Path, path: Path) -> None:
    """Write the weights, the sizes and the vocabulary of a model folder.

    Args:
        folder: config.json, model.safetensors with tied embeddings, vocab.json and merges.txt.
        path: of the GGUF file.
    """
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "gpt2")
    _add_sizes(writer, config)
    _add_vocabulary(writer, folder, config)
    for name, array in _tensors(folder, config["n_layer"]).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_sizes(writer: gguf.GGUFWriter, config: dict) -> None:
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(config["n_inner"] or 4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _add_vocabulary(writer: gguf.GGUFWriter, folder: Path, config: dict) -> None:
    ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    tokens = sorted(ids, key=ids.__getitem__)
    tokens += [f"<unused{number}>" for number in range(len(tokens), config["vocab_size"])]
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    kinds[config["eos_token_id"]] = gguf.TokenType.CONTROL
    merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge for merge in merges if merge])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)


def _tensors(folder: Path, num_layers: int) -> dict[str, np.ndarray]:
    weights = load_file(folder / "model.safetensors")
    named = {
        "token_embd.weight": weights["transformer.wte.weight"],
        "position_embd.weight": weights["transformer.wpe.weight"],
        "output_norm.weight": weights["transformer.ln_f.weight"],
        "output_norm.bias": weights["transformer.ln_f.bias"],
    }
    for layer in range(num_layers):
        for theirs, part in PARTS.items():
            for kind in ("weight", "bias"):
                array = weights[f"transformer.h.{layer}.{theirs}.{kind}"]
                named[f"blk.{layer}.{part}.{kind}"] = np.ascontiguousarray(array.T)
    return named


def write_all(folder: Path, out: Path) -> None:
    """Write f32.gguf, and by llama.cpp's own means Q8_0.gguf and Q4_0.gguf."""
    write_gguf(folder, out / "f32.gguf")
    for name, kind in (
        ("Q8_0", llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0),
        ("Q4_0", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0),
    ):
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = kind
        files = str(out / "f32.gguf").encode(), str(out / f"{name}.gguf").encode()
        assert llama_cpp.llama_model_quantize(*files, ctypes.byref(params)) == 0


if __name__ == "__main__":
    write_all(Path(sys.argv[1]), Path(sys.argv[2]))
