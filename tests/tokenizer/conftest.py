"""A small tokenizer's files, to be changed."""

from pathlib import Path

import pytest

from kerasgpt.tokenizer.bpe import Tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer of 270 ids with one special token beside the end of text, in all its files."""
    texts = ["the rain in the plain"] * 2
    Tokenizer.learn(texts, 270, special_tokens=["<|x|>"]).save_to_preset(tmp_path)
    return tmp_path
