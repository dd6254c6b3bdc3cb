"""Verify every bundle under saved_models/ (or those named); exit code 0 only if all hold.

python export/verify.py [BUNDLE]...
"""

import sys
from pathlib import Path

from kerasgpt.artifacts import MANIFEST
from kerasgpt.cli import main as kerasgpt

ROOT = Path(__file__).resolve().parents[1]


def main(folders: list[Path]) -> int:
    """Run ``kerasgpt verify`` on each folder; the worst exit code counts."""
    worst = 0
    for folder in folders:
        print(f"{folder}:")
        worst = max(worst, kerasgpt(["verify", str(folder)]))
    return worst


if __name__ == "__main__":
    found = sorted(path.parent for path in (ROOT / "saved_models").glob(f"*/{MANIFEST}"))
    sys.exit(main([Path(name) for name in sys.argv[1:]] or found))
