"""Pickles, which are never opened: what to do instead."""

from __future__ import annotations

import os
from pathlib import Path

from kerasgpt import artifacts
from kerasgpt.checkpoints.stored import Arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError

PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.pkl")
"""Names that such files go by."""

# weights_only=True reads tensors and plain values and runs nothing.
CONVERT_TRANSFORMERS = (
    "import glob, torch, safetensors.torch as s; "
    "s.save_file({k: v.contiguous().clone() for f in glob.glob('pytorch_model*.bin')"
    " for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}, 'model.safetensors')"
)

# nanoGPT's layers multiply from the right and may lack biases, and its GELU is the erf form.
CONVERT_NANOGPT = (
    "import json, torch, safetensors.torch as s; "
    "c = torch.load('{name}', map_location='cpu', weights_only=True); "
    "m = {{k.removeprefix('_orig_mod.'): v.t() if '.c_' in k and v.dim() == 2 else v"
    " for k, v in c['model'].items()}}; "
    "b = {{k[:-6] + 'bias': torch.zeros(v.shape[-1]) for k, v in m.items()"
    " if k.endswith('weight') and ('.c_' in k or 'ln_' in k)}}; "
    "s.save_file({{k: v.contiguous().clone() for k, v in (b | m).items()}}, 'model.safetensors'); "
    "a = c['model_args']; "
    "json.dump({{'model_type': 'gpt2', 'activation_function': 'gelu', 'n_positions': a['block_size'], **a}},"
    " open('config.json', 'w'))"
)


def refusal(path: Path) -> KerasGPTError:
    """The error that names a pickle and says how to convert it without running what is in it."""
    is_transformers = path.match(PICKLES[0])
    code = CONVERT_TRANSFORMERS if is_transformers else CONVERT_NANOGPT.format(name=path.name)
    return KerasGPTError(
        f"{path}: a pickle can run any program, so it is not opened;"
        f' where torch is installed, convert it in its folder with: python -c "{code}"'
    )


def read_folder(source: str | os.PathLike[str], weights: bool = True) -> tuple[GPT2Config, Arrays]:
    """Read the configuration that lies beside a pickle.

    Raises:
        KerasGPTError: the weights are asked for, or there is no configuration.
    """
    if weights:
        raise refusal(min(path for name in PICKLES for path in Path(source).glob(name)))
    return artifacts.read_gpt2_config(source), {}
