"""A corpus and a recipe small enough to train on in a second."""

import random

import pytest

from kerasgpt.training.config import Recipe

SETTINGS = [
    "data.validation_fraction=0.1",
    "data.vocabulary_size=270",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.hidden_dim=16",
    "train.steps=8",
    "train.batch_size=2",
    "train.sequence_length=16",
    "train.warmup_steps=2",
    "train.learning_rate=0.01",
    "train.log_every=2",
    "train.evaluate_every=4",
    "train.checkpoint_every=3",
    "train.sample_tokens=3",
    "train.jit_compile=false",
]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    generator = random.Random(0)
    words = ["to", "be", "or", "not", "that", "is", "the", "question", "né"]
    lines = [" ".join(generator.choices(words, k=8)) + ".\n" for _ in range(120)]
    path = tmp_path / "corpus.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def recipe(corpus):
    """Make the small recipe, with some settings changed."""

    def make(*settings):
        return Recipe.from_dict({"data": {"paths": str(corpus)}}, [*SETTINGS, *settings])

    return make
