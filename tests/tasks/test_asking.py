"""Raw inputs through a template to a model that says what it was asked."""

import warnings
from dataclasses import dataclass, field

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Generation
from kerasgpt.tasks.asking import InputShortenedWarning, ask, filled_in, fitted_prompts
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


@pytest.mark.parametrize("longest", [60, 61])
def test_an_answer_that_takes_the_whole_context_is_refused(longest):
    with pytest.raises(UsageError, match=f"answers of {longest} tokens leave no room .* context of 60: set"):
        fitted_prompts(Echo(), DEFAULTS["completion"], [{"prompt": "To be"}], longest)


def test_a_prompt_of_which_nothing_is_left_is_refused():
    (prompt,) = fitted_prompts(Echo(), DEFAULTS["completion"], [{"prompt": "To be"}], 59)
    assert prompt == ("T", True)
    with pytest.raises(DoesNotFitError, match="file, line 1: nothing of the prompt is left in 1 tokens"):
        fitted_prompts(Echo(), DEFAULTS["completion"], [{"prompt": "北京"}], 59, ["file, line 1"])


def test_one_text_is_no_list_of_inputs():
    with pytest.raises(UsageError, match="a list of inputs is needed, and this is one text"):
        ask(Echo(), DEFAULTS["translation"], "A dog")


def test_without_a_template_texts_are_prompts():
    assert filled_in(None, Echo(), ["a", "b"], 10) == ["a", "b"]
    with pytest.raises(UsageError, match="fields by name need a task's template, and this model has none"):
        filled_in(None, Echo(), ["a", {"prompt": "b"}], 10)
