"""Freshly drawn models of transformers, in every variant: read here, and written back, they answer alike."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np
import torch
import transformers

from kerasgpt.config import ACTIVATIONS
from kerasgpt.errors import KerasGPTError
from kerasgpt.models.gpt2 import GPT2CausalLM

TOLERANCE = 1e-5
SIZES = {"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 48, "vocab_size": 97}
VARIANTS = {
    **{name: {"activation_function": name} for name in ACTIVATIONS},
    "inverse layer scale": {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    "no attention scale": {"scale_attn_weights": False},
    "untied head": {"tie_word_embeddings": False},
    "n_inner and epsilon": {"n_inner": 50, "layer_norm_epsilon": 1e-3},
    "bfloat16": {},
    "float16": {},
    "shards": {},
    "pickle": {},
    "nanoGPT": {"activation_function": "gelu"},
}


def main(_: str) -> int:
    """Draw each variant, and compare the logits with its own in float64."""
    transformers.utils.logging.disable_progress_bar()
    errors, problems = {}, []
    for seed, (name, settings) in enumerate(VARIANTS.items()):
        with tempfile.TemporaryDirectory() as scratch:
            theirs = write(drawn(seed, settings), name, Path(scratch))
            ours = GPT2CausalLM.from_preset(scratch)
            ids = np.random.default_rng(seed).integers(0, SIZES["vocab_size"], (2, 40))
            reference = logits(theirs.double(), ids)
            errors[name] = float(np.abs(ours(ids).detach().numpy() - reference).max())
            back = written_back(ours, ids, reference, Path(scratch))
            problems += [f"{name}: {problem}" for problem in back]
    problems += [f"{name}: a logit differs by {e:.1e}" for name, e in errors.items() if not e <= TOLERANCE]
    worst = max(errors.values())
    print(f"       transformers {transformers.__version__}: {len(errors)} models, logits within {worst:.1e}")
    for problem in problems:
        print(f"hf_models: {problem}", file=sys.stderr)
    return int(bool(problems))


def drawn(seed: int, settings: dict) -> transformers.GPT2LMHeadModel:
    """A random model whose biases and norms are away from their start."""
    torch.manual_seed(seed)
    config = transformers.GPT2Config(bos_token_id=0, eos_token_id=0, **SIZES, **settings)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.08)
    return model


def write(model: transformers.GPT2LMHeadModel, form: str, folder: Path) -> transformers.GPT2LMHeadModel:
    """Save a model in one of transformers' forms; gives it back as it is once saved."""
    if form in ("bfloat16", "float16"):
        model = model.to(getattr(torch, form))
    if form == "nanoGPT":
        write_nanogpt(model, folder)
        return model
    model.save_pretrained(folder, max_shard_size="40KB" if form == "shards" else "1GB")
    if form == "shards":
        assert not (folder / "model.safetensors").exists()
    if form == "pickle":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        convert(folder)
    return model


def write_nanogpt(model: transformers.GPT2LMHeadModel, folder: Path) -> None:
    """Save what nanoGPT's training saves of a compiled model without biases, then convert it."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    weights = {
        f"_orig_mod.{name}": array.t() if ".c_" in name else array
        for name, array in model.state_dict().items()
        if name.endswith("weight")
    }
    sizes = {"n_layer": 3, "n_head": 4, "n_embd": 32, "block_size": 48, "vocab_size": 97}
    settings = {**sizes, "bias": False, "dropout": 0.0}
    torch.save({"model": weights, "model_args": settings, "iter_num": 5}, folder / "ckpt.pt")
    convert(folder)


def convert(folder: Path) -> None:
    """Do what the refusal of a pickle says."""
    try:
        GPT2CausalLM.from_preset(folder)
    except KerasGPTError as error:
        command = shlex.split(str(error).split("with: ")[1])
    subprocess.run([sys.executable, *command[1:]], cwd=folder, check=True)


def logits(model: torch.nn.Module, ids: np.ndarray) -> np.ndarray:
    """(B, T, V) float64."""
    with torch.no_grad():
        return model(input_ids=torch.tensor(ids)).logits.double().numpy()


def written_back(ours: GPT2CausalLM, ids: np.ndarray, reference: np.ndarray, scratch: Path) -> list[str]:
    """What transformers complains of in the folder we write, or answers otherwise."""
    ours.save_to_preset(scratch / "back")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        scratch / "back", output_loading_info=True, torch_dtype=torch.float32
    )
    error = float(np.abs(logits(model.eval(), ids) - reference).max())
    problems = [f"{kind} {info[kind]}" for kind in ("missing_keys", "unexpected_keys") if info[kind]]
    return problems + ([f"written back, a logit differs by {error:.1e}"] if not error <= TOLERANCE else [])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
