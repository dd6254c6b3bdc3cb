"""Raw inputs through a template to a model that says what it was asked."""

import warnings
from dataclasses import dataclass, field

import pytest

from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Generation
from kerasgpt.tasks.asking import InputShortenedWarning, ask, fitted_prompts
from kerasgpt.tasks.templates import DEFAULTS, DoesNotFitError
from kerasgpt.tokenizer.bpe import Tokenizer

BYTES = Tokenizer.learn(["a"], 257)


@dataclass
class Echo:
    """Answers with its prompt in capitals."""

    tokenizer: Tokenizer = BYTES
    max_sequence_length: int = 60
    asked: list = field(default_factory=list)

    def generate(self, prompts, settings):
        self.asked.append(settings)
        return [Generation(f" {prompt.upper()}\n", [], 0, "stop", []) for prompt in prompts]


def test_answers_come_without_white_space_around_them():
    lm = Echo(max_sequence_length=200)
    assert ask(lm, DEFAULTS["translation"], ["A dog.", {"source": "A cat."}]) == [
        "A DOG.\nTRANSLATION:",
        "A CAT.\nTRANSLATION:",
    ]
    assert lm.asked == [GenerationConfig(max_new_tokens=64)]


def test_settings_are_passed_on_and_leave_room_for_the_answer():
    lm, settings = Echo(), GenerationConfig(max_new_tokens=30, num_beams=4)
    with pytest.warns(InputShortenedWarning, match="the source of 1 of 2 inputs was shortened"):
        answers = ask(lm, DEFAULTS["translation"], ["One two three four five.", "One."], settings)
    assert answers == ["ONE TWO THREE\nTRANSLATION:", "ONE.\nTRANSLATION:"]
    assert len(answers[0]) + 30 <= 60
    assert lm.asked == [settings]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(lm, DEFAULTS["translation"], ["One."], settings)


def test_what_cannot_fit_is_named():
    fields = {"context": "c", "question": "why? " * 20}
    with pytest.raises(DoesNotFitError, match="file, line 2: without any context"):
        fitted_prompts(Echo(), DEFAULTS["question_answering"], [fields], 10, ["file, line 2"])
