"""A bundle small enough to be written in a moment."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.fused_graph import write_fused
from kerasgpt.export.kernels import Float32
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

CONFIG = GPT2Config(
    vocabulary_size=257, max_sequence_length=48, num_layers=3, num_heads=4, hidden_dim=32, dropout=0.0
)
FUSED = {
    artifacts.FAST_FP32: Float32(),
    artifacts.FAST_INT8: Blockwise(8),
    artifacts.FAST_INT4: Blockwise(4),
}


@pytest.fixture(scope="session")
def _bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    generator = np.random.default_rng(0)
    weights = {
        name: generator.normal(0, 0.2, shape).astype(np.float32)
        for name, shape in weight_shapes(CONFIG).items()
    }
    write_onnx(CONFIG, weights, folder / artifacts.ONNX_MODEL)
    for name, kernels in FUSED.items():
        write_fused(CONFIG, weights, folder / name, kernels)
    artifacts.write_json(folder / artifacts.CONFIG, CONFIG.to_huggingface())
    settings = GenerationConfig(max_new_tokens=12).to_huggingface(CONFIG)
    artifacts.write_json(folder / artifacts.GENERATION_CONFIG, settings)
    Tokenizer(learned_vocabulary([]), []).save_to_preset(folder)
    return folder


@pytest.fixture
def bundle(_bundle: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged at will."""
    return Path(shutil.copytree(_bundle, tmp_path / "bundle"))
