"""The processes that train one model: how they join, agree and share their failures; the first one writes."""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from numpy.typing import NDArray

from kerasgpt.errors import KerasGPTError, UsageError, first_line

JOB_ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
NUM_PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
PROCESS_ID = "KERAS_DISTRIBUTION_PROCESS_ID"
"""Keras's own names: the first process's host:port, how many there are, and which of them this one is."""

_LOSS_OF_A_PEER = ("gloo", "nccl", "coordination", "heartbeat")
"""Words of JAX's errors once another process does not answer."""

_MESSAGE_BYTES = 4096
_SEED = "global_random_seed"


def are_named() -> int:
    """How many processes the environment names; 1 where it names none.

    Raises:
        UsageError: it names them in part, or not in numbers.
    """
    values = {name: os.environ.get(name, "") for name in (JOB_ADDRESSES, NUM_PROCESSES, PROCESS_ID)}
    if not any(values.values()):
        return 1
    for name, value in values.items():
        if not value or (name != JOB_ADDRESSES and not value.isdecimal()):
            raise UsageError(
                f"{name} is '{value}': of several processes each needs {JOB_ADDRESSES}, the host:port of the"
                f" first, {NUM_PROCESSES}, and its own number from 0 on as {PROCESS_ID}"
            )
    number, count = int(values[PROCESS_ID]), int(values[NUM_PROCESSES])
    if number >= count:
        raise UsageError(f"{PROCESS_ID} is {number} of {count}: they are numbered from 0 to {count - 1}")
    return count


def join() -> None:
    """Become one of the processes that the environment names, on JAX; to be called before JAX looks around.

    Raises:
        UsageError: see `are_named`.
        KerasGPTError: the first process cannot be reached.
    """
    if are_named() == 1 or _jax().distributed.is_initialized():
        return
    # Without a seed Keras agrees on one, and in setting it imports TensorFlow wherever that is installed.
    seed = global_state.get_global_attribute(_SEED)
    global_state.set_global_attribute(_SEED, seed or 0)
    try:
        keras.distribution.initialize()
    except RuntimeError as error:
        address = os.environ[JOB_ADDRESSES].partition(",")[0]
        raise KerasGPTError(
            f"{JOB_ADDRESSES}: no process 0 at {address} ({first_line(error)}); start all processes,"
            " each with the same addresses"
        ) from error
    finally:
        global_state.set_global_attribute(_SEED, seed)


def num_processes() -> int:
    """How many train together."""
    return int(_jax().process_count()) if keras.backend.backend() == "jax" else 1


def is_first() -> bool:
    """Whether this is the one that writes."""
    return num_processes() == 1 or int(_jax().process_index()) == 0


def any_of(flag: bool) -> bool:
    """Whether it holds in one of the processes at least; each of them has to ask."""
    return flag if num_processes() == 1 else bool(_gathered(np.array(flag)).any())


@contextmanager
def while_all_live() -> Iterator[None]:
    """Let this process end soon, and in a sentence, where another has died in the middle of a step.

    Raises:
        KerasGPTError: another process has died, or cannot be reached.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:  # both are JAX's, by which step it was
        reason = str(error)
        if num_processes() == 1 or not any(word in reason.lower() for word in _LOSS_OF_A_PEER):
            raise
        atexit.register(
            _leave
        )  # before what JAX has registered, which waits for the dead one and then aborts
        raise KerasGPTError(
            f"another process has died or cannot be reached ({first_line(error)[-150:]}): see what it"
            " said last, then go on with --resume in all of them"
        ) from error


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


@contextmanager
def together() -> Iterator[None]:
    """Let no process go on where another has failed; each of them has to come by.

    Alone, one that fails would leave the others waiting for it.

    Raises:
        KerasGPTError: another process has failed here, and its sentence.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    sentences = _shared(str(failure) or type(failure).__name__) if failure else _shared("")
    if failure is not None:
        raise failure
    for number, sentence in enumerate(sentences):
        if sentence:
            raise KerasGPTError(f"process {number}: {sentence}")


def require_same(facts: Mapping[str, str]) -> None:
    """Refuse processes that are not about to do the same.

    Raises:
        KerasGPTError: one has other facts than the first.
    """
    first, *others = [json.loads(text) for text in _shared(json.dumps(dict(facts)))]
    for number, theirs in enumerate(others, start=1):
        for name, value in first.items():
            if theirs[name] != value:
                raise KerasGPTError(
                    f"process {number} has another {name} ({theirs[name]}) than process 0 ({value}): give all"
                    " the same recipe and data, and as --out one folder that all of them see"
                )


def read(variable: Any) -> NDArray[Any]:
    """All of a variable, wherever its parts lie, in a copy; each process has to read it."""
    if num_processes() > 1 and not variable.value.is_fully_replicated:
        return np.asarray(_multihost().process_allgather(variable.value, tiled=True))
    return np.array(variable.numpy())  # the backend's own view may share memory that the next update changes


@contextmanager
def first_alone(model: keras.Model) -> Iterator[bool]:
    """Give the first process, and it alone, True and all of a model's weights as its own, for a while.

    With them it computes and writes without the others, who learn of it if that fails.

    Raises:
        KerasGPTError: the first process has failed.
    """
    if num_processes() == 1:
        yield True
        return
    arrays = [read(variable) for variable in model.variables]
    with together():
        if not is_first():
            yield False
            return
        mapping = list(zip(model.variables, arrays, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            yield True


def _shared(text: str) -> Sequence[str]:
    """The texts of all processes."""
    if num_processes() == 1:
        return [text]
    encoded = text.encode()[:_MESSAGE_BYTES]
    padded = np.zeros(_MESSAGE_BYTES, np.uint8)
    padded[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    rows = _gathered(padded).astype(np.uint8)
    return [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in rows]


def _gathered(array: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(_multihost().process_allgather(array))


def _multihost() -> Any:
    return importlib.import_module("jax.experimental.multihost_utils")


def _jax() -> Any:
    return importlib.import_module("jax")  # Keras has loaded it already, or this is not asked
