from dataclasses import replace

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig

SAMPLED = GenerationConfig(temperature=1.0, seed=4)


@pytest.fixture
def read(random_model, byte_tokenizer):
    return StepLanguageModel(random_model, byte_tokenizer).requests.read


def test_there_is_one_for_each_continuation(read) -> None:
    settings = [SAMPLED, replace(SAMPLED, num_return_sequences=3), GenerationConfig(echo=True)]
    requests = read(["ab", [3, 4], ""], settings)
    assert [request.prompt for request in requests] == [[97, 98], [3, 4], [3, 4], [3, 4], [256]]
    assert [request.seed for request in requests] == [4, 5, 6, 7, 4]
    assert [request.settings for request in requests] == [settings[n] for n in (0, 1, 1, 1, 2)]
    assert requests[4].text.finish().token_ids == [256]


def test_a_text_that_does_not_fit_leaves_room(read) -> None:
    with pytest.warns(UserWarning, match="only its last 54 are read"):
        (request,) = read([list(range(100))], [GenerationConfig(max_new_tokens=10)])
    assert request.prompt == list(range(46, 100))


def test_unknown_ids_are_refused(read) -> None:
    with pytest.raises(UsageError, match="the prompt holds id 257"):
        read([[257]], [SAMPLED])
    with pytest.raises(UsageError, match="logit_bias holds id 300"):
        read(["x"], [GenerationConfig(logit_bias={300: 1.0})])
