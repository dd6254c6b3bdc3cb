"""The proof: one artifact, loaded in a fresh process from its own files only, compared with the reference."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasgpt import artifacts
from kerasgpt.engines import load, resolve
from kerasgpt.errors import KerasGPTError, first_line
from kerasgpt.export.parity import (
    Parity,
    compare_closed_model,
    compare_forward,
    compare_step_model,
)
from kerasgpt.export.reference import Reference
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import LanguageModel, Logits
from kerasgpt.runtime.forward import ForwardModel
from kerasgpt.runtime.language_model import open_file

# What each engine needs of a folder, beside the recorded answers.
_WORDS = [
    artifacts.CONFIG,
    artifacts.GENERATION_CONFIG,
    artifacts.TOKENIZER,
    artifacts.TOKENIZER_CONFIG,
    artifacts.VOCABULARY,
    artifacts.MERGES,
]
OWN_FILES = {
    "keras": [*_WORDS, artifacts.WEIGHTS],
    "onnx": [*_WORDS, artifacts.ONNX_MODEL, f"{artifacts.ONNX_MODEL}_data"],
    "saved_model": [*_WORDS, "saved_model"],
    **{name: [*_WORDS, name] for name in artifacts.SAVED_MODELS},
    **{name: [*_WORDS, file, f"{file}_data"] for name, (file, _) in artifacts.VARIANTS.items()},
}
OWN_FILES["onnx_embeds"].append(artifacts.EMBED_TOKENS)


@dataclass(frozen=True)
class Speed:
    """What an artifact takes, as the child process saw it.

    Attributes:
        load_seconds: from the files to a model that answers.
        tokens_per_second: of one text, after its first token.
        resident_bytes: of the process, after it wrote.
    """

    load_seconds: float
    tokens_per_second: float
    resident_bytes: int


@dataclass(frozen=True)
class Proof:
    """The result of one child process.

    Attributes:
        engine: what loaded the artifact: ``"keras"``, ``"onnx"`` or ``"saved_model"``; or which of the
            further files it is, see `kerasgpt.artifacts.VARIANTS` and `SAVED_MODELS`.
        seconds: from the child's start to its end.
        parity: how far the artifact is from the trained model, or from that with its weights rounded.
        precision: of the artifact's numbers.
        perplexity: on the evaluation data, if there was any.
        speed: of a SavedModel on this machine.
    """

    engine: str
    seconds: float
    parity: Parity
    precision: str = "fp32"
    perplexity: float | None = None
    speed: Speed | None = None

    @property
    def sentence(self) -> str:
        """The result in one line."""
        if self.parity.problems:
            return "; ".join(self.parity.problems[:3])
        tokens, ties = self.parity.num_tokens_compared, self.parity.num_near_ties
        if not tokens and self.parity.max_cached_logit_error is None:
            return f"logits within {self.parity.max_logit_error:.1e}, the forward pass alone"
        exempt = f" ({ties} near ties exempt)" if ties else ""
        return f"logits within {self.parity.max_logit_error:.1e}, {tokens} greedy tokens equal{exempt}"


def prove(folder: Path, engine: str, full_logits: Path | None = None, precision: str | None = None) -> Proof:
    """Load an artifact in a fresh process and compare it with the folder's recorded answers.

    Args:
        folder: a bundle, finished or in the making.
        engine: which of its artifacts, ``"keras"``, ``"onnx"`` or ``"saved_model"``.
        full_logits: an .npy with the reference's logits at all positions; without it the 16 best count.
        precision: of a SavedModel, whose name does not tell it.

    Raises:
        KerasGPTError: the child could not load or run the artifact.
    """
    started = time.monotonic()
    with own_files(folder, engine) as apart:
        command = child_command("-m", "kerasgpt.quick_start", "kerasgpt.export.proof", engine, str(apart))
        command += [str(full_logits)] if full_logits else []
        child = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    if child.returncode != 0:
        reason = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        name = artifact_path(folder, engine).relative_to(folder)
        raise KerasGPTError(f"{name}: does not load and run ({reason})")
    answer = json.loads(child.stdout.splitlines()[-1])
    parity, speed = Parity(**answer["parity"]), answer["speed"]
    precision = artifacts.VARIANTS[engine][1] if engine in artifacts.VARIANTS else precision or "fp32"
    seconds = time.monotonic() - started
    return Proof(engine, seconds, parity, precision, speed=Speed(**speed) if speed else None)


def artifact_path(folder: Path, engine: str) -> Path:
    """The artifact an engine runs."""
    if engine in artifacts.VARIANTS:
        return folder / artifacts.VARIANTS[engine][0]
    if engine in artifacts.SAVED_MODELS:
        return folder / artifacts.SAVED_MODELS[engine]
    return folder / artifacts.FORMATS.get(engine, artifacts.WEIGHTS)


def answers_file(engine: str, folder: Path | None = None) -> str:
    """What an artifact is compared with: the trained model's answers, or those of its rounded weights.

    Args:
        engine: see `Proof`.
        folder: where the files are; of a SavedModel they tell whether it is rounded.
    """
    is_rounded = engine in artifacts.VARIANTS and artifacts.VARIANTS[engine][1] in ("int8", "int4")
    own = f"parity_{engine}.npz"
    is_there = engine.startswith("saved_model") and folder is not None and (folder / own).is_file()
    return own if is_rounded or is_there else artifacts.PARITY


def child_backend() -> str:
    """Keras's backend in a child: TensorFlow where it is installed, else the caller's."""
    if importlib.util.find_spec("tensorflow") is not None:
        return "tensorflow"
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def child_command(*arguments: str) -> list[str]:
    """The command of a child of this Python that imports nothing from the folder it is started in.

    That may be a bundle of somebody else's, with a file that has the name of a module.
    """
    return [sys.executable, "-P", *arguments]


def child_environment() -> dict[str, str]:
    """The environment of a child that imports this very package."""
    package_parent = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": child_backend(), "TF_CPP_MIN_LOG_LEVEL": "3"}


@contextmanager
def own_files(folder: Path, engine: str) -> Iterator[Path]:
    """Yield a folder that holds one artifact's own files and the recorded answers, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="kerasgpt-proof-") as name:
        apart = Path(name)
        for entry in [*OWN_FILES[engine], answers_file(engine, folder)]:
            source = folder / entry
            if source.is_dir():
                shutil.copytree(source, apart / entry, copy_function=_link_or_copy)
            elif source.is_file():
                (apart / entry).parent.mkdir(exist_ok=True)
                _link_or_copy(source, apart / entry)
        yield apart


def _link_or_copy(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    try:
        os.link(os.path.realpath(source), target)  # of a link, what it leads to
    except OSError:  # another disk
        shutil.copyfile(source, target)


def compare(engine: str, folder: Path, full_logits: Logits | None) -> tuple[Parity, Speed | None]:
    """What the child does: open the artifact and compare it, and see how fast a SavedModel is."""
    reference = Reference.load(folder / answers_file(engine, folder))
    if engine.startswith("saved_model"):
        return _compare_saved_model(artifact_path(folder, engine), folder, reference, full_logits)
    return _compare(engine, folder, reference, full_logits), None


def _compare_saved_model(
    path: Path, folder: Path, reference: Reference, full_logits: Logits | None
) -> tuple[Parity, Speed]:
    started = time.monotonic()
    lm: Any = resolve("kerasgpt.in_graph.language_model:open_file")(folder, path.relative_to(folder))
    load_seconds = time.monotonic() - started
    parity = compare_closed_model(lm, reference, full_logits)
    return parity, Speed(load_seconds, _tokens_per_second(lm), _resident_bytes())


def _tokens_per_second(lm: LanguageModel) -> float:
    """How fast one text is written after its first token."""
    room = max(lm.max_sequence_length // 2, 2)
    seconds = {}
    for length in (1, min(65, room)):
        started = time.monotonic()
        (written,) = lm.generate([[0]], GenerationConfig(max_new_tokens=length))
        seconds[len(written.token_ids)] = time.monotonic() - started
    (least, shorter), (most, longer) = min(seconds.items()), max(seconds.items())
    return (most - least) / max(longer - shorter, 1e-9)


def _resident_bytes() -> int:
    """Of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _compare(engine: str, folder: Path, reference: Reference, full_logits: Logits | None) -> Parity:
    if engine in artifacts.VARIANTS:
        file, precision = artifacts.VARIANTS[engine]
        return compare_step_model(open_file(folder, file), reference, full_logits, precision)
    lm: Any = load(folder, engine)
    if isinstance(lm.model, ForwardModel):
        return compare_forward(lm.model, reference, full_logits)
    return compare_step_model(lm, reference, full_logits)


def main(arguments: list[str]) -> int:
    """Run as ``python -m kerasgpt.export.proof ENGINE FOLDER [LOGITS.npy]``; prints the parity as JSON."""
    engine, folder, *rest = arguments
    full_logits = np.load(rest[0], mmap_mode="r", allow_pickle=False) if rest else None
    try:
        parity, speed = compare(engine, Path(folder), full_logits)
    except Exception as error:  # whatever it is, the parent tells it in one sentence
        print(f"{type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 1
    print(json.dumps({"parity": asdict(parity), "speed": asdict(speed) if speed else None}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
