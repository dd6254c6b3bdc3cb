"""KerasHub's tokenizer object. The real one is met by tests/clients/keras_hub_models.py."""

from types import SimpleNamespace

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.keras_hub import read_object


class GPT2Tokenizer:
    """Stands for KerasHub's class, by the attributes it has."""

    def __init__(self, vocabulary, merges, unsplittable_tokens=("<|endoftext|>",), add_prefix_space=False):
        self.vocabulary = vocabulary
        self.merges = merges
        self.unsplittable_tokens = list(unsplittable_tokens)
        self.add_prefix_space = add_prefix_space


def theirs(tokenizer, **options):
    return GPT2Tokenizer(
        tokenizer.vocabulary,
        [" ".join(pair) for pair in tokenizer.merges],
        tokenizer.special_tokens,
        **options,
    )


@pytest.fixture(scope="module")
def tokenizer(shakespeare):
    return Tokenizer.learn([shakespeare[:5000]], 300, special_tokens=["<|user|>"])


def test_vocabulary_merges_and_special_tokens_arrive(tokenizer):
    found = Tokenizer.from_preset(theirs(tokenizer))
    assert found.vocabulary == tokenizer.vocabulary
    assert found.merges == tokenizer.merges
    assert found.special_tokens == tokenizer.special_tokens
    assert read_object(theirs(tokenizer)).special_tokens == ["<|user|>"]


def test_the_heading_of_a_file_of_merges_is_none(tokenizer):
    found = theirs(tokenizer)
    found.merges = ["#version: 0.2", *found.merges]
    assert Tokenizer.from_preset(found).merges == tokenizer.merges


def test_words_are_cut_as_gpt2_cuts_them():
    """KerasHub's own class gives [64, 13, 628, 65] here, in which GPT-2 has no part."""
    ours = Tokenizer.from_preset("gpt2")
    assert Tokenizer.from_preset(theirs(ours)).encode("a.\n\nb") == [64, 13, 198, 198, 65]


def test_it_is_found_in_a_preprocessor_and_in_a_model(tokenizer):
    preprocessor = SimpleNamespace(tokenizer=theirs(tokenizer))
    for source in (preprocessor, SimpleNamespace(preprocessor=preprocessor)):
        assert Tokenizer.from_preset(source).vocabulary == tokenizer.vocabulary


def test_a_subclass_is_read(tokenizer):
    class Mine(GPT2Tokenizer):
        pass

    assert Tokenizer.from_preset(Mine(tokenizer.vocabulary, ["a b"][:0])).merges == []


def test_a_model_without_one_is_refused():
    with pytest.raises(UsageError, match="SimpleNamespace has no preprocessor, so no tokenizer: give one"):
        Tokenizer.from_preset(SimpleNamespace(preprocessor=None))


def test_another_object_is_refused():
    with pytest.raises(UsageError, match="cannot read a tokenizer from a dict: give a folder"):
        Tokenizer.from_preset({})


def test_one_that_is_not_loaded_yet_is_refused():
    with pytest.raises(UsageError, match="has no vocabulary yet"):
        Tokenizer.from_preset(GPT2Tokenizer(None, None))


def test_one_that_adds_a_space_is_refused(tokenizer):
    with pytest.raises(UsageError, match="sets add_prefix_space"):
        Tokenizer.from_preset(theirs(tokenizer, add_prefix_space=True))
