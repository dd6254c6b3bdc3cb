"""A process of our own starts without what Keras and TensorFlow import on the side.

``python -m kerasgpt.quick_start MODULE [ARGUMENT...]`` runs a module so.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any, cast

BYSTANDERS = ("sklearn", "matplotlib.pyplot")
"""Imported by Keras where they are installed: for its wrappers, and pictures of models.

Not so pandas and JAX, whose places `pyarrow` and scipy look up without asking whether anything is in them."""


def leave_out_bystanders() -> None:
    """Let packages that nothing here uses count as not installed in this process.

    In an environment that has them all they are 2 of the 7 seconds that ``import keras`` takes. Call it first
    in a process that runs no code of a user's, such as the command line; never while a module is imported.
    """
    for name in BYSTANDERS:
        cast(dict[str, Any], sys.modules).setdefault(name, None)


if __name__ == "__main__":
    leave_out_bystanders()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
