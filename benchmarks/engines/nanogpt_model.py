"""nanoGPT's own model.py, of a clone."""

import subprocess
import sys
import types
from pathlib import Path


def model_module(clone: str) -> types.ModuleType:
    """Its model.py: of the folder, or where that has no work tree, of the clone's HEAD."""
    file = Path(clone) / "model.py"
    if file.is_file():
        source = file.read_text("utf-8")
    else:
        command = ["git", "-C", clone, "show", "HEAD:model.py"]
        source = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    module = types.ModuleType("nanogpt")
    sys.modules["nanogpt"] = module  # dataclasses look themselves up there
    exec(source, module.__dict__)
    return module
