"""A trained model in memory, proofs without their child processes, and a model's parts altered."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasgpt import GenerationConfig, GPT2CausalLM, GPT2Config, Tokenizer, export_bundle
from kerasgpt.artifacts import VARIANTS
from kerasgpt.export import artifact_writing
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.export.parity import Parity
from kerasgpt.export.proof import Proof, compare, own_files, prove
from kerasgpt.export.reference import PROMPTS, Reference, record
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.models.language_model import KerasStepModel
from kerasgpt.protocols import Logits, StepModel

SETTINGS = GenerationConfig(max_new_tokens=8)


@pytest.fixture(scope="session")
def trained(model_folder: Path) -> tuple[GPT2CausalLM, Tokenizer]:
    """The small model, and its tokenizer."""
    return GPT2CausalLM.from_preset(model_folder), Tokenizer.from_preset(model_folder)


@pytest.fixture(scope="session")
def prove_only() -> Callable[..., Callable[..., Proof]]:
    """A `prove` for the named engines only, which lets the others hold.

    ONNX runs in a child process as always; Keras and TensorFlow, which take seconds to import, run here.
    """

    def choose(*engines: str) -> Callable[..., Proof]:
        def chosen(
            folder: Path, engine: str, full_logits: Path | None = None, precision: str | None = None
        ) -> Proof:
            if engine not in engines:
                return Proof(engine, 0.1, Parity(1e-6, 2e-6, 10, 0, []))
            if engine == "onnx" or engine in VARIANTS:
                return prove(folder, engine, full_logits)
            with own_files(folder, engine) as apart:
                parity, speed = compare(engine, apart, full_logits and np.load(full_logits))
                return Proof(engine, 0.1, parity, precision or "fp32", speed=speed)

        return chosen

    return choose


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Of 280 ids, learned from what parity is measured on."""
    return Tokenizer.learn(PROMPTS, 280, minimum_frequency=1)


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> GPT2CausalLM:
    """A model of that vocabulary, with random weights and a context of 128."""
    keras.utils.set_random_seed(0)
    config = GPT2Config(
        tokenizer.vocabulary_size,
        max_sequence_length=128,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        initializer_range=0.5,
    )
    model = GPT2CausalLM(config)
    model.build()
    return model


@pytest.fixture(scope="session")
def language_model(tokenizer: Tokenizer) -> Callable[[StepModel], StepLanguageModel]:
    """Give a StepModel that tokenizer."""
    return lambda engine: StepLanguageModel(engine, tokenizer, SETTINGS)


@pytest.fixture(scope="session")
def recorded(
    model: GPT2CausalLM, language_model: Callable[[StepModel], StepLanguageModel]
) -> tuple[Reference, Logits]:
    """What the model answered, and all its logits."""
    return record(language_model(KerasStepModel(model)))


@pytest.fixture
def export(trained, tmp_path, monkeypatch, prove_only):
    """Export the small model into an empty place; only the named formats are really proved."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def call(*formats, proved=(), **options):
        monkeypatch.setattr(artifact_writing, "prove", prove_only(*proved))
        chosen = {"generation_config": SETTINGS, **options}
        return export_bundle(*trained, tmp_path / "bundle", formats, **chosen)

    return call


@pytest.fixture(scope="session")
def random_weights() -> Callable[[GPT2Config, float, float], dict[str, np.ndarray]]:
    """Make weights of a configuration: normal ones of a spread, those of the norms about a mean."""

    def make(config: GPT2Config, spread: float, mean_of_norms: float) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(0)
        found = {}
        for name, shape in weight_shapes(config).items():
            array = generator.normal(0, spread, shape).astype(np.float32)
            is_norm = ".ln_" in name and name.endswith("weight")
            found[name] = array + np.float32(mean_of_norms) if is_norm else array
        return found

    return make
