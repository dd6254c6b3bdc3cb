"""The ids of Hugging Face's own generate: greedy, penalised, and by beam search, to the last one."""

import numpy as np
import pytest

from kerasgpt.generation.beam_search import beam_search
from kerasgpt.generation.decode import decode
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.language_model import KerasStepModel

NO_END = -1  # the references were written with eos_token_id=None
NUM_NEW = 16
PENALISED = GenerationConfig(max_new_tokens=NUM_NEW, repetition_penalty=1.3, no_repeat_ngram_size=3)


class Veiled:
    """An engine that does not read the first tokens of a row, though they are part of its text.

    So Hugging Face treats what its attention mask hides: the model does not see it, but the repetition
    penalty and the n-grams do. Our own rows have no padding, and nothing there to be counted.
    """

    def __init__(self, model: KerasStepModel, num_hidden: list[int]) -> None:
        self.model, self.num_hidden = model, np.array(num_hidden)
        self.vocabulary_size, self.max_sequence_length = model.vocabulary_size, model.max_sequence_length
        self.step, self.reorder = model.step, model.reorder

    def prefill(self, ids, lengths):
        shifted = np.stack([np.roll(row, -hidden) for row, hidden in zip(ids, self.num_hidden, strict=True)])
        return self.model.prefill(shifted, lengths - self.num_hidden)


@pytest.fixture
def model(golden_folder):
    return KerasStepModel(GPT2CausalLM.from_preset(golden_folder))


@pytest.fixture
def prompts(golden):
    """The visible part of each row."""
    return [
        ids[mask == 1].tolist() for ids, mask in zip(golden["input_ids"], golden["left_mask"], strict=True)
    ]


def written(model, prompts, settings):
    rows = [[] for _ in prompts]
    for step in decode(model, prompts, settings, NO_END):
        for token in step:
            rows[token.row].append(token.id)
    return rows


def test_greedy(model, prompts, golden):
    settings = GenerationConfig(max_new_tokens=NUM_NEW)
    assert written(model, prompts, settings) == golden["greedy"][:, -NUM_NEW:].tolist()


def test_beams(model, prompts, golden):
    settings = GenerationConfig(max_new_tokens=NUM_NEW, num_beams=4)
    expected = golden["beam4"][:, -NUM_NEW:].tolist()
    found = beam_search(model, prompts, settings, NO_END)
    assert [beams[0].ids for beams in found] == expected
    assert expected != golden["greedy"][:, -NUM_NEW:].tolist()  # else it would show nothing


def test_penalty_and_ngrams_where_nothing_is_hidden(model, prompts, golden):
    (row,) = np.flatnonzero(golden["left_mask"].all(axis=1))
    assert written(model, [prompts[row]], PENALISED) == [
        golden["greedy_rep13_ngram3"][row, -NUM_NEW:].tolist()
    ]


def test_penalty_and_ngrams_where_hidden_tokens_count(model, golden):
    hidden = (golden["left_mask"] == 0).sum(axis=1).tolist()
    rows = written(Veiled(model, hidden), golden["input_ids"].tolist(), PENALISED)
    assert rows == golden["greedy_rep13_ngram3"][:, -NUM_NEW:].tolist()
