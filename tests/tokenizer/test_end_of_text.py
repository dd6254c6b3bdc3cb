"""A configuration names the end of text that its tokenizer has, and what it names rightly stays."""

import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.end_of_text import aligned


@pytest.mark.parametrize("kind", [GPT2Config, RecurrentConfig])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({}, (257, 257)),  # the last id of a padded vocabulary, which nobody named
        ({"bos_token_id": 5}, (5, 257)),
        ({"bos_token_id": 0, "eos_token_id": 0}, (257, 257)),  # ordinary text
        ({"bos_token_id": 256, "eos_token_id": 257}, (256, 257)),
        ({"bos_token_id": 3, "eos_token_id": 256}, (3, 256)),  # another special token
    ],
    ids=str,
)
def test_it_names_a_special_token_of_the_tokenizer(kind, names, expected):
    config = aligned(kind(vocabulary_size=304, **names), Tokenizer.from_merges([], ["<|end|>"]))
    assert (config.bos_token_id, config.eos_token_id) == expected
    assert config.vocabulary_size == 304


def test_a_model_that_has_no_such_id_keeps_its_own():
    config = GPT2Config(vocabulary_size=200)
    assert aligned(config, Tokenizer.from_merges([])) is config
