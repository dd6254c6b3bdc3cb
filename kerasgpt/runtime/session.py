"""ONNX Runtime as a StepModel: an exported graph, run step by step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from kerasgpt import checks
from kerasgpt.artifacts import past_name, present_name
from kerasgpt.errors import KerasGPTError, UsageError, first_line
from kerasgpt.generation.columns import counting_columns, packed, packed_mask
from kerasgpt.protocols import Ids, Logits
from kerasgpt.runtime.graph import data_files, read_graph
from kerasgpt.runtime.interface import CACHED, require_interface
from kerasgpt.runtime.memory import release_mapped
from kerasgpt.runtime.providers import CPU

PREFILL_BUDGET = 2**24  # numbers in the logits of one run while a prompt is read: 64 MiB
ERRORS_ONLY = 3  # ONNX Runtime's log level; its warnings are about its own optimiser

# On x86 CPUs without VNNI two products of 8 bits are added in 16, where their sum may not fit; with this ONNX
# Runtime takes a kernel there, and nowhere else, whose sums are exact.
EXACT_INTEGERS = ("session.x64quantprecision", "1")

# What an onnxruntime says of a file that is ahead of it: operators, attributes, opsets, the format itself.
TOO_NEW = (
    "is not a registered function/op",
    "No Op registered for",
    "Could not find an implementation",
    "Unrecognized attribute",
    "ONNX Runtime only *guarantees* support for models stamped with official",
    "Unsupported model IR version",
)

# A run that fails raises an error, which says what ONNX Runtime would print.
SILENTLY = onnxruntime.RunOptions()
SILENTLY.log_severity_level = 4

Caches: TypeAlias = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class OnnxState:
    """What the engine keeps between steps.

    Attributes:
        caches: name of the graph's input -> float32 (B, N, S, H).
        mask: int64 (B, S), 0 where a column holds padding.
        lengths: int64 (B,), tokens read so far, which is the next token's position.
    """

    caches: Caches
    mask: Ids
    lengths: Ids


class OnnxStepModel:
    """Runs an ONNX file step by step; see `kerasgpt.protocols.ExtendableStepModel`.

    A state is never changed, each step makes another. One object, and one state, may serve several threads.

    Args:
        path: of a graph as `kerasgpt.export.onnx_graph` writes it.
        max_sequence_length: the context, in tokens, which the graph itself does not tell.
        num_threads: that work on one operator; 0 means one for each core.
        session: of that file, if there is one already.

    Raises:
        KerasGPTError: the file is missing or damaged, or its inputs are not those of such a graph.
    """

    reads = "input_ids"  # the graph's input that says what to read
    interface = CACHED

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_sequence_length: int,
        num_threads: int = 0,
        session: Any = None,
    ) -> None:
        self.max_sequence_length = max_sequence_length
        self._path = Path(path)
        self._session = session or open_session(self._path, num_threads)
        require_interface(self._session, self._path, self.interface)
        outputs = [output.name for output in self._session.get_outputs()]
        # The graph's output -> the input that takes it in the next run.
        self._caches = {
            present_name(layer, part): past_name(layer, part)
            for layer in range(len(outputs) // 2)
            for part in ("key", "value")
        }
        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        self.vocabulary_size: int = self._session.get_outputs()[outputs.index("logits")].shape[2]
        self._cache_shapes = {name: inputs[name] for name in self._caches.values()}

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[OnnxState, Logits]:
        """Read right-padded prompts (B, T) -> the state and the next logits (B, V).

        Long prompts are read in pieces, so that the logits nobody asked for never fill the memory.
        """
        batch, width = ids.shape[:2]
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        caches = self._empty_caches(batch)
        last = np.empty((batch, self.vocabulary_size), np.float32)
        for start, end in self._pieces(batch, width):
            positions = np.broadcast_to(np.arange(start, end), (batch, end - start))
            logits, caches = self._run(ids[:, start:end], mask[:, :end], positions, caches)
            rows = np.flatnonzero((start < lengths) & (lengths <= end))
            last[rows] = logits[rows, lengths[rows] - 1 - start]
        return OnnxState(caches, mask, lengths.copy()), last

    def step(self, state: OnnxState, ids: Ids) -> tuple[OnnxState, Logits]:
        """Read one token a row (B,) -> the state and the next logits (B, V)."""
        mask = np.pad(state.mask, ((0, 0), (0, 1)), constant_values=1)  # (B, S + 1)
        logits, caches = self._run(ids[:, None], mask, state.lengths[:, None], state.caches)
        return OnnxState(caches, mask, state.lengths + 1), logits[:, 0]

    def extend(self, state: OnnxState, ids: Ids, num_logits: int | None = None) -> tuple[OnnxState, Logits]:
        """Read several tokens (B, T) -> the state and the logits after the last K, (B, K, V)."""
        batch, width = ids.shape[:2]
        past, first = state.mask.shape[1], width - (num_logits or width)
        mask = np.pad(state.mask, ((0, 0), (0, width)), constant_values=1)
        caches, answers = state.caches, []
        for start, end in self._pieces(batch, width):
            positions = state.lengths[:, None] + np.arange(start, end)
            logits, caches = self._run(ids[:, start:end], mask[:, : past + end], positions, caches)
            answers.append(logits[:, max(first - start, 0) :])
        return OnnxState(caches, mask, state.lengths + width), np.concatenate(answers, axis=1)

    def rewind(self, state: OnnxState, num_tokens: int) -> OnnxState:
        """Forget each row's last tokens."""
        mask = state.mask.copy()
        for row, columns in zip(mask, counting_columns([mask]), strict=True):
            row[columns[len(columns) - num_tokens :]] = 0
        width = int(np.flatnonzero(mask.any(axis=0))[-1]) + 1
        caches = {name: cache[:, :, :width] for name, cache in state.caches.items()}
        return OnnxState(caches, mask[:, :width], state.lengths - num_tokens)

    def snapshot(self, state: OnnxState, row: int, num_tokens: int) -> OnnxState:
        """The first tokens of one row, in memory of their own."""
        columns = np.flatnonzero(state.mask[row])[:num_tokens]
        caches = {name: cache[row : row + 1, :, columns] for name, cache in state.caches.items()}
        return OnnxState(caches, np.ones((1, num_tokens), np.int64), np.array([num_tokens]))

    def reorder(self, state: OnnxState, indices: Ids) -> OnnxState:
        """Keep the rows `indices`."""
        caches = {name: cache[indices] for name, cache in state.caches.items()}
        return OnnxState(caches, state.mask[indices], state.lengths[indices])

    def join(self, states: Sequence[OnnxState]) -> OnnxState:
        """Lay rows one after another, in copies."""
        columns = counting_columns([state.mask for state in states])
        caches = {
            name: packed([state.caches[name] for state in states], columns) for name in states[0].caches
        }
        lengths = np.concatenate([state.lengths for state in states])
        return OnnxState(caches, packed_mask(columns), lengths)

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, (B, T, V)."""
        batch, width = ids.shape[:2]
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        positions = np.broadcast_to(np.arange(width), (batch, width))
        return self._run(ids, mask, positions, self._empty_caches(batch))[0]

    def _pieces(self, batch: int, width: int) -> Iterator[tuple[int, int]]:
        """Beginning and end of each of the pieces that tokens (B, T) are read in."""
        size = max(PREFILL_BUDGET // (batch * self.vocabulary_size), 1)
        for start in range(0, width, size):
            yield start, min(start + size, width)

    def _empty_caches(self, batch: int) -> Caches:
        return {
            name: np.zeros((batch, heads, 0, head_dim), np.float32)
            for name, (_, heads, _, head_dim) in self._cache_shapes.items()
        }

    def _run(self, ids: Ids, mask: Ids, positions: Ids, caches: Caches) -> tuple[Logits, Caches]:
        """Run the graph once: logits (B, T, V) and the caches with T columns more."""
        return self._answer(ids.astype(np.int64, copy=False), mask, positions, caches)

    def _answer(
        self, reads: NDArray[Any], mask: Ids, positions: Ids, caches: Caches
    ) -> tuple[Logits, Caches]:
        """Run the session on what it reads, as it reads it."""
        feeds = {"attention_mask": mask, "position_ids": positions}
        feeds = {name: array.astype(np.int64, copy=False) for name, array in feeds.items()}
        feeds[self.reads] = reads
        # ONNX Runtime reads numpy's memory and lends us its own: nothing is copied on the way.
        wanted = ["logits", *self._caches]
        logits, *presents = run(self._session, self._path, wanted, {**feeds, **caches})
        return logits, dict(zip(self._caches.values(), presents, strict=True))


def run(session: Any, path: Path, outputs: Sequence[str] | None, feeds: dict[str, Any]) -> list[Any]:
    """Run a session once.

    Raises:
        KerasGPTError: the graph fails on what it is given.
    """
    try:
        answers: list[Any] = session.run(outputs, feeds, SILENTLY)
    except Exception as error:  # its errors have no common base but this
        raise run_failed(path, error) from error
    return answers


def run_failed(path: Path, error: Exception) -> KerasGPTError:
    """The sentence about a graph that fails on what it is given, such as a position beyond its context."""
    return KerasGPTError(
        f"{path}: fails as it runs ({first_line(error)}); see whether config.json is the file's own, or"
        " export the model again"
    )


class MissingOperatorError(KerasGPTError):
    """This onnxruntime does not have an operator of the graph, or is too old for the file."""


def open_session(path: Path, num_threads: int = 0, providers: Sequence[str] = (CPU,)) -> Any:
    """Load an ONNX file.

    Args:
        path: of the file.
        num_threads: that work on one operator; 0 means one for each core.
        providers: ONNX Runtime's names of where to compute, the preferred one first.

    Raises:
        UsageError: no such number of threads, or a path that ONNX Runtime cannot open.
        MissingOperatorError: this onnxruntime lacks an operator of the graph, or is too old for the file.
        KerasGPTError: the file is missing or damaged, or so are weights that it keeps in a file beside it, or
            that file is outside its folder.
    """
    if not path.is_file():
        raise KerasGPTError(f"{path}: no such file; export the model again")
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{os.fspath(path)!r}: ONNX Runtime opens no file whose path is not UTF-8; rename its folder"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = checks.num_threads(num_threads)
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry(*EXACT_INTEGERS)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # its errors have no common base but this
        reason = first_line(error)
        if any(words in reason for words in TOO_NEW):
            raise MissingOperatorError(
                f"{path}: onnxruntime {onnxruntime.__version__} lacks an operator or is too old for the file"
                f" ({reason}); pip install --upgrade onnxruntime"
            ) from error
        if "xternal" in reason:  # of weights beside the file: say what is wrong with theirs, if anything is
            data_files(path, read_graph(path))
        raise KerasGPTError(f"{path}: cannot be loaded ({reason}); export the model again") from error
    release_mapped(path.with_name(f"{path.name}_data"))
    return session
