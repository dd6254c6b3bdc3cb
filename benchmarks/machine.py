"""The machine that figures were measured on, and the versions of what was measured."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What a reader must know to compare figures; a niceness above 0 says that others went first."""
    return {
        "processor": processor(),
        "num_cores": os.cpu_count(),
        "system": platform.system(),
        "niceness": os.nice(0),
    }


def processor() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def versions(*names: str) -> dict[str, str]:
    """Versions of distributions, and of Python."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
