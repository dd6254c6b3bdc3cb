"""Optional dependencies: imported when needed, quietly, or one sentence says how to install them."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from kerasgpt.errors import KerasGPTError, MissingExtraError, first_line, unknown_name

BACKENDS = {"tensorflow": "'kerasgpt[train]'", "jax": "'kerasgpt[jax]'", "torch": "torch"}
"""What Keras trains on, and what pip installs for it."""

_STDERR = threading.RLock()  # an import may need another; two threads would restore each other's silence


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say in one sentence how to install it.

    Args:
        module: the module to import, such as ``"tensorflow"``.
        extra: the extra of this package that brings it; empty if the package itself should have.
        purpose: what it is needed for, such as ``"training"``.

    Raises:
        MissingExtraError: the module is not installed, or Keras is and not what KERAS_BACKEND says.
        KerasGPTError: it is installed and cannot be loaded, as where there is too little memory.
        UsageError: KERAS_BACKEND names no backend of Keras.
    """
    backend = os.environ.get("KERAS_BACKEND")
    if module == "keras" and backend and backend not in BACKENDS:
        raise unknown_name("backend in KERAS_BACKEND", backend, BACKENDS)
    try:
        with _native_messages_silenced():
            return importlib.import_module(module)
    except ImportError as error:
        absent = (error.name or module).split(".")[0]
        if module == "keras" and absent in BACKENDS:
            raise MissingExtraError(
                f"{purpose} needs {absent}, which is not installed: pip install {BACKENDS[absent]}"
            ) from error
        if absent != module.split(".")[0]:
            raise  # it is installed, and broken in some other way: let that be seen
        if not isinstance(error, ModuleNotFoundError):
            raise KerasGPTError(
                f"{purpose} needs {module}, which cannot be loaded: {_cause(error)}"
            ) from error
        raise missing(module, extra, purpose) from error


def _cause(error: BaseException) -> str:
    """What an import failed by at first, such as want of memory."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return first_line(error)


def missing(module: str, extra: str, purpose: str) -> MissingExtraError:
    """The error for a module that is not installed; arguments as in `require`.

    >>> print(missing("onnx", "export", "an export"))
    an export needs onnx, which is not installed: pip install 'kerasgpt[export]'
    """
    wanted = f"'kerasgpt[{extra}]'" if extra else "kerasgpt"
    return MissingExtraError(f"{purpose} needs {module}, which is not installed: pip install {wanted}")


@contextmanager
def _native_messages_silenced() -> Iterator[None]:
    """Keep TensorFlow's C++ side from greeting the user: it writes before it reads its log level.

    Set TF_CPP_MIN_LOG_LEVEL to 0, 1 or 2 to see its messages.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") < "3":
        yield
        return
    with _STDERR:
        if sys.stderr is not None:
            sys.stderr.flush()
        saved = _copy_of_stderr()
        if saved is None:
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)


def _copy_of_stderr() -> int | None:
    """A second number for standard error; None where it is closed, as a daemon's is."""
    try:
        return os.dup(2)
    except OSError:
        return None
