"""What several rooms' tests need: the golden references, and numpy for the doctests."""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from importlib import resources

import numpy as np
import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture(params=["base", "variant"])
def golden_folder(request: pytest.FixtureRequest) -> Path:
    """A model folder made by Hugging Face, with its outputs in expected.npz."""
    return DATA / request.param


@pytest.fixture
def golden(golden_folder: Path) -> dict[str, np.ndarray]:
    """Hugging Face's own outputs for that model."""
    with np.load(golden_folder / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def golden_config(golden_folder: Path) -> dict:
    return json.loads((golden_folder / "config.json").read_text())


@pytest.fixture(scope="session")
def shakespeare() -> str:
    """Some 60 kB of the packaged text, enough to learn a few hundred pieces from."""
    return (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text()[:60_000]
