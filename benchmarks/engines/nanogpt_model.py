"""nanoGPT's own model.py, of a clone."""

import subprocess
import sys
import types


def model_module(clone: str) -> types.ModuleType:
    """Its model.py, of the clone's HEAD, whether that has a work tree or not."""
    command = ["git", "-C", clone, "show", "HEAD:model.py"]
    module = types.ModuleType("nanogpt")
    sys.modules["nanogpt"] = module  # dataclasses look themselves up there
    exec(subprocess.run(command, check=True, capture_output=True, text=True).stdout, module.__dict__)
    return module
