"""``kerasgpt`` and ``python -m kerasgpt`` are the command line."""

import sys

from kerasgpt.cli import main
from kerasgpt.quick_start import leave_out_bystanders


def run() -> int:
    """What the process of a command does; gives its exit code."""
    leave_out_bystanders()
    return main()


if __name__ == "__main__":
    sys.exit(run())
