"""serving/: what TensorFlow Serving wants beside a bundle's SavedModel, written in the right process."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import keras

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.proof import child_command, child_environment


def write_serving(bundle: Path, name: str) -> None:
    """Give a bundle its ``serving/`` folder, and its SavedModel warm-up requests.

    Args:
        bundle: in the making, with a SavedModel that has been proved.
        name: of the finished bundle's folder, which becomes the model's on the server.

    Raises:
        KerasGPTError: the SavedModel refuses an example, or a file cannot be written.
    """
    if keras.backend.backend() == "tensorflow":
        from kerasgpt.export.serving_files import write_files  # TensorFlow may be missing

        write_files(bundle, model_name(name))
        return
    # In a process of its own: in this one another library may hold the accelerator's memory.
    module = "kerasgpt.export.serving_files"
    command = child_command("-m", "kerasgpt.quick_start", module, str(bundle), model_name(name))
    child = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    if child.returncode != 0:
        reason = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise KerasGPTError(f"{artifacts.SERVING_FOLDER}: could not be written: {reason}")


def model_name(text: str) -> str:
    """A name that is safe in a URL, in YAML and in a path, as near to the text as may be.

    >>> model_name("my story: two")
    'my-story-two'
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-") or "gpt2"
