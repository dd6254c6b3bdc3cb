"""Run every client in an environment of its own: ``python tests/clients/run.py [NAME...]``.

A client is ``NAME.py`` with ``NAME.requirements.txt`` beside it, and ``NAME.package.json`` if it asks Node.
Its environment, ``.venv-clients/NAME``, is made once and again when these files change; this package is not
installed there but on the path, so that a client proves what works without our own dependencies. Each
client is called with a bundle that the environment running this file has made, and finds that environment's
Python in KERASGPT_PYTHON.
The first client that fails ends the run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent
ROOT = CLIENTS.parents[1]
ENVIRONMENTS = ROOT / ".venv-clients"


def main(names: list[str]) -> int:
    """Run the named clients, or all of them; the exit code is 1 if one fails."""
    known = sorted(path.name.removesuffix(".requirements.txt") for path in CLIENTS.glob("*.requirements.txt"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no client '{unknown[0]}': there are {', '.join(known)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="kerasgpt-clients-") as folder:
        bundle = Path(folder) / "bundle"
        run(sys.executable, CLIENTS / "make_bundle.py", bundle)
        for name in names or known:
            started = time.monotonic()
            try:
                run(environment(name), CLIENTS / f"{name}.py", bundle)
            except subprocess.CalledProcessError as error:
                print(f"FAILED {name}: exit code {error.returncode} of {error.cmd}", file=sys.stderr)
                return 1
            except FileNotFoundError as error:
                print(f"FAILED {name}: no {error.filename} on the path; install Node.js 20", file=sys.stderr)
                return 1
            print(f"ok     {name}: {time.monotonic() - started:.0f} s", flush=True)
    return 0


def environment(name: str) -> Path:
    """The Python of a client's environment, made or renewed as its requirements ask."""
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    requirements, packages = CLIENTS / f"{name}.requirements.txt", CLIENTS / f"{name}.package.json"
    installed = folder / "installed.txt"
    wanted = "".join(path.read_text() for path in (requirements, packages) if path.is_file())
    if not installed.is_file() or installed.read_text() != wanted:
        print(f"       {name}: installing {', '.join(wanted.splitlines())}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        options = ["--quiet", "--disable-pip-version-check"]
        run(python, "-m", "pip", "install", *options, "--requirement", requirements)
        if packages.is_file():
            shutil.copyfile(packages, folder / "package.json")
            run("npm", "install", "--silent", "--ignore-scripts", "--prefix", folder)
        installed.write_text(wanted)
    return python


def run(*command: str | Path) -> None:
    """Run a command with the repository on Python's path.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    ours = {"PYTHONPATH": str(ROOT), "KERASGPT_PYTHON": sys.executable, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([str(part) for part in command], env={**inherited, **ours}, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
