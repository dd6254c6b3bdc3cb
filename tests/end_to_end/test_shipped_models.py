"""The model that comes with the repository: small, whole, and a writer wherever the base install is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerasgpt import Tokenizer
from kerasgpt.artifacts import MODEL_CARD, read_config
from kerasgpt.training.recipes import packaged_recipes

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "saved_models" / "tinystories-6m"
HEAVY = ("tensorflow", "keras", "onnx", "jax", "torch")


@pytest.fixture
def base_install(tmp_path, monkeypatch):
    """Let a fresh process that imports what is not of the base install, or opens a connection, die of it."""
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('heavy import')")
    refusal = "import socket\n\ndef refuse(*_): raise RuntimeError('no network')\n"
    (tmp_path / "sitecustomize.py").write_text(refusal + "\nsocket.socket.connect = refuse\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))


def test_it_is_small():
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) <= 8_000_000


def test_its_proof_is_repeated(run):
    outcome = run("verify", SHIPPED, "--strict")
    assert outcome.code == 0, outcome.out


def test_it_writes_a_story_with_the_base_install_and_no_network(base_install):
    command = [sys.executable, "-m", "kerasgpt", "generate", str(SHIPPED), "--prompt", "Once upon a time"]
    result = subprocess.run([*command, "--seed", "1"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    words = result.stdout.split()
    assert len(words) > 40
    assert {"was", "the", "and"} <= set(words)


def test_its_card_says_what_it_is():
    card, config = (SHIPPED / MODEL_CARD).read_text(), read_config(SHIPPED)
    assert card == (ROOT / "export" / "cards" / "tinystories-6m.md").read_text()
    assert f"{config.num_parameters:,} parameters" in card
    assert f"{Tokenizer.from_preset(SHIPPED).vocabulary_size:,} pieces" in card
    recipe = packaged_recipes()["tinystories-6m"].read_text()
    bits = card.split("bits per byte")[0].split()[-1]
    assert f"{bits} bits per byte" in recipe
    assert f"{config.num_parameters / 1e6:.1f} million parameters" in recipe
