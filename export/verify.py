"""Verify every bundle under saved_models/ (or those named); exit code 0 only if all hold.

python export/verify.py [BUNDLE]...
"""

import sys
from pathlib import Path

from kerasgpt.artifacts import MANIFEST
from kerasgpt.export.verification import verify

ROOT = Path(__file__).resolve().parents[1]


def main(folders: list[Path]) -> int:
    """Verify folders and print a line a check."""
    results = [verify(folder) for folder in folders]
    for result in results:
        print(f"{result.folder}: {'verified' if result.holds else 'NOT VERIFIED'}")
        for check in result.checks:
            print(f"  {check.status:12} {check.name}: {check.detail}")
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    found = sorted(path.parent for path in (ROOT / "saved_models").glob(f"*/{MANIFEST}"))
    sys.exit(main([Path(name) for name in sys.argv[1:]] or found))
