"""Raw inputs -> prompts that fit into a model's context -> answers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from kerasgpt import checks
from kerasgpt.errors import UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.templates import PromptText, TaskTemplate


class InputShortenedWarning(UserWarning):
    """A part of an input was left out, as the model's context has no room for it."""


def fitted_prompts(
    lm: LanguageModel,
    template: TaskTemplate,
    inputs: Sequence[Mapping[str, str]],
    max_new_tokens: int,
    places: Sequence[str] = (),
) -> list[PromptText]:
    """Put inputs into a template, each shortened as far as the model's context makes it necessary.

    Args:
        lm: any engine.
        template: of the task that the model was fine-tuned on.
        inputs: the fields of each.
        max_new_tokens: room that is kept for the answer.
        places: what to call each in an error.

    Raises:
        UsageError: an input lacks a field, or the answer takes the whole context.
        KerasGPTError: one does not fit, even with nothing of its long field.
    """
    room = lm.max_sequence_length - max_new_tokens
    if room < 1:
        raise UsageError(
            f"answers of {max_new_tokens} tokens leave no room for a prompt in the model's context of"
            f" {lm.max_sequence_length}: set max_new_tokens to less"
        )
    names = places or [""] * len(inputs)
    return [
        template.fitting(fields, lm.tokenizer, room, place)
        for fields, place in zip(inputs, names, strict=True)
    ]


def ask(
    lm: LanguageModel,
    template: TaskTemplate,
    inputs: Sequence[str | Mapping[str, str]],
    settings: GenerationConfig | None = None,
) -> list[str]:
    """Answer raw inputs.

    Args:
        lm: any engine.
        template: of the model's folder, see `kerasgpt.tasks.templates.read_template`.
        inputs: the text of the task's one field, or the fields by name.
        settings: how to write; None means greedily, with the template's longest answer.

    Returns:
        The answers, without white space around them. An input that was shortened is told of by an
        InputShortenedWarning.

    Raises:
        UsageError: an input lacks a field.
        KerasGPTError: one does not fit, even with nothing of its long field.

    ```python
    template = read_template("saved_models/translator")
    ask(kerasgpt.load("saved_models/translator"), template, ["A dog runs."])
    ```
    """
    writing = settings or GenerationConfig(max_new_tokens=template.max_new_tokens)
    prompts = filled_in(template, lm, inputs, writing.max_new_tokens)
    return [generation.text.strip() for generation in lm.generate(prompts, writing)]


def filled_in(
    template: TaskTemplate | None,
    lm: LanguageModel,
    inputs: Sequence[str | Mapping[str, str]],
    max_new_tokens: int,
) -> list[str]:
    """Raw inputs as the prompts that a fine-tuned model reads; texts as they are where there is no template.

    Arguments and errors as in `fitted_prompts`, but that an input may also be raw text, see
    `TaskTemplate.parse`. One that was shortened is told of by an InputShortenedWarning.
    """
    inputs = checks.several("inputs", inputs)
    if template is None:
        texts = [each for each in inputs if isinstance(each, str)]
        if len(texts) < len(inputs):
            raise UsageError("fields by name need a task's template, and this model has none: give texts")
        return texts
    fields = [template.parse(each) if isinstance(each, str) else each for each in inputs]
    prompts = fitted_prompts(lm, template, fields, max_new_tokens)
    warn_of_shortened(template, prompts)
    return [prompt.text for prompt in prompts]


def warn_of_shortened(template: TaskTemplate, prompts: Sequence[PromptText]) -> None:
    """Say how many inputs were shortened, if any were."""
    num_shortened = sum(prompt.was_shortened for prompt in prompts)
    if num_shortened:
        warnings.warn(
            f"the {template.long_field} of {num_shortened} of {len(prompts)} inputs was shortened to the"
            " model's context",
            InputShortenedWarning,
            stacklevel=4,
        )
