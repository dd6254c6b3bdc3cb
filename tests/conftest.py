"""What several rooms' tests need: the golden references, the command line, a small model and its bundle."""

import gc
import io
import json
import os
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# XLA compiles in haste: these programs run some steps each. The examples compile as their users do.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

from importlib import resources

import numpy as np
import pytest

DATA = Path(__file__).parent / "data"


# An object's address, or the time in a gzip's head.
NEVER_ALIKE = re.compile(r" at 0x|\\x1f\\x8b\\x08\\x00(?!(\\x00){4})")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that are made anew in each process: no two workers would collect the same tests."""
    for item in items:
        if NEVER_ALIKE.search(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid}: is named anew in each process; give it an id of its own")


@pytest.fixture(scope="module", autouse=True)
def modules_of_before_are_never_searched() -> None:
    """Keras searches the whole memory for garbage whenever a layer's attribute goes, in `quantize` for one.

    Of TensorFlow and the graphs that it keeps, that is half a second each time, which `gc.freeze` saves.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["base", "variant"])
def golden_folder(request: pytest.FixtureRequest) -> Path:
    """A model folder made by Hugging Face, with its outputs in expected.npz."""
    return DATA / request.param


@pytest.fixture
def golden(golden_folder: Path) -> dict[str, np.ndarray]:
    """Hugging Face's own outputs for that model."""
    with np.load(golden_folder / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def golden_config(golden_folder: Path) -> dict:
    return json.loads((golden_folder / "config.json").read_text())


@pytest.fixture(scope="session")
def shakespeare() -> str:
    """Some 60 kB of the packaged text, enough to learn a few hundred pieces from."""
    return (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text()[:60_000]


@dataclass(frozen=True)
class Outcome:
    """What a command left behind: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call the command line in this process: ``run("generate", folder, stdin="text")``."""
    from kerasgpt.cli import main

    def call(*arguments: object, stdin: str | bytes = b"") -> Outcome:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def refuses(run: Callable[..., Outcome]) -> Callable[..., str]:
    """Call the command line, which must refuse in one sentence on stderr; gives that sentence."""

    def call(*arguments: object, code: int, stdin: str | bytes = b"") -> str:
        outcome = run(*arguments, stdin=stdin)
        assert outcome.code == code, outcome
        assert outcome.out == ""
        assert outcome.err.startswith("kerasgpt: ")
        assert outcome.err.count("\n") == 1, outcome.err
        assert "Traceback" not in outcome.err
        return outcome.err

    return call


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, shakespeare: str) -> Path:
    """A small model with random weights that write varied text, a tokenizer of 300 ids, a context of 96."""
    import keras

    from kerasgpt import GenerationConfig, GPT2CausalLM, GPT2Config
    from kerasgpt.artifacts import GENERATION_CONFIG, write_json
    from kerasgpt.tokenizer.bpe import Tokenizer

    keras.utils.set_random_seed(1)
    tokenizer = Tokenizer.learn([shakespeare], 300)
    config = GPT2Config(
        tokenizer.vocabulary_size,
        max_sequence_length=96,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        initializer_range=0.5,
    )
    model = GPT2CausalLM(config)
    model.build()
    folder = tmp_path_factory.mktemp("small") / "model"
    model.save_to_preset(folder)
    tokenizer.save_to_preset(folder, max_sequence_length=config.max_sequence_length)
    settings = GenerationConfig(max_new_tokens=12).to_huggingface(config)
    write_json(folder / GENERATION_CONFIG, settings)
    return folder


@pytest.fixture(scope="session")
def bundle(model_folder: Path) -> Path:
    """That model exported in every format; to be read, not changed."""
    from kerasgpt.export.pipeline import export_folder

    folder = model_folder.parent / "bundle"
    export_folder(model_folder, folder)
    return folder


@pytest.fixture
def bundle_copy(bundle: Path, tmp_path: Path) -> Path:
    """A copy of that bundle, to be damaged."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    """A folder of two files with their manifest, which is all that makes it a bundle."""
    from kerasgpt.manifest import Manifest

    (tmp_path / "onnx").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"graph")
    Manifest.of_folder(tmp_path, ["onnx"], {"source": "a test"}).write(tmp_path)
    return tmp_path


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let modules be missing: ``without("tensorflow")``."""

    def hide(*modules: str) -> None:
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return hide


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """Let no file grow beyond so many bytes: ``with full_disk(1000):`` writing on fails as on a full disk."""

    @contextmanager
    def limited(room_bytes: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def naive_logits(folder: Path, ids: np.ndarray) -> np.ndarray:
    """Logits float64 (T, V) of a recurrent model folder after each of ids (T,), in a few lines of numpy."""
    from safetensors.numpy import load_file

    arrays = {name: array.astype(float) for name, array in load_file(folder / "model.safetensors").items()}
    rows = arrays["embeddings.weight"][ids]  # (T, E)
    for layer in range(sum(name.endswith("state.weight") for name in arrays)):
        kernel, recurrent, bias = (
            arrays[f"layers.{layer}.{w}"] for w in ("input.weight", "state.weight", "bias")
        )
        hidden = cell = np.zeros(len(recurrent))
        found = []
        for row in rows:
            if bias.ndim == 1:
                i, f, g, o = np.split(row @ kernel + hidden @ recurrent + bias, 4)
                cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
                hidden = sigmoid(o) * np.tanh(cell)
            else:
                (z, r, n), (hz, hr, hn) = (
                    np.split(part, 3) for part in (row @ kernel + bias[0], hidden @ recurrent + bias[1])
                )
                z = sigmoid(z + hz)
                hidden = z * hidden + (1 - z) * np.tanh(n + sigmoid(r + hr) * hn)
            found.append(hidden)
        rows = np.array(found)
    if "projection.weight" in arrays:
        rows = rows @ arrays["projection.weight"] + arrays["projection.bias"]
    return rows @ arrays.get("head.weight", arrays["embeddings.weight"]).T


@pytest.fixture
def naive_recurrence() -> Callable[[Path, np.ndarray], np.ndarray]:
    return naive_logits


@pytest.fixture(scope="session", params=["lstm", "gru"])
def recurrent_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shakespeare: str
) -> Path:
    """A small LSTM, and a small GRU with an untied head, with random weights that write varied text."""
    import keras

    from kerasgpt import GenerationConfig, RecurrentConfig
    from kerasgpt.artifacts import GENERATION_CONFIG, write_json
    from kerasgpt.models.causal_lm import model_class
    from kerasgpt.tokenizer.bpe import Tokenizer

    keras.utils.set_random_seed(1)
    tokenizer = Tokenizer.learn([shakespeare[:20_000]], 300)
    config = RecurrentConfig(
        request.param,
        tokenizer.vocabulary_size,
        max_sequence_length=48,
        hidden_dim=24,
        embedding_dim=16,
        tie_word_embeddings=request.param == "lstm",
    )
    model = model_class(config)(config)
    model.build()
    generator = np.random.default_rng(2)
    for variable in model.trainable_variables:  # biases too, which begin as zeros
        variable.assign(variable + 0.4 * generator.normal(size=variable.shape))
    folder = tmp_path_factory.mktemp(request.param) / "model"
    model.save_to_preset(folder)
    tokenizer.save_to_preset(folder, max_sequence_length=config.max_sequence_length)
    settings = GenerationConfig(max_new_tokens=12).to_huggingface(config)
    write_json(folder / GENERATION_CONFIG, settings)
    return folder
