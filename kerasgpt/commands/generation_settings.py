"""The options that say how to write text, the same wherever a command writes some."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from kerasgpt import artifacts
from kerasgpt.errors import UsageError
from kerasgpt.generation_config import GenerationConfig

if TYPE_CHECKING:
    from kerasgpt.protocols import Tokenizer

EARLY_STOPPING = {"true": True, "false": False, "never": "never"}

OF_SAMPLING = ("top_k", "top_p", "min_p", "typical_p")
OF_BEAMS = ("length_penalty", "early_stopping")


class Ids(click.ParamType[Any]):
    """Token ids with commas between them."""

    name = "ids"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read them, or fail naming the text."""
        try:
            return tuple(int(each) for each in value.split(","))
        except ValueError:
            self.fail(f"'{value}' is not a list of token ids such as 11,13,50256", param, ctx)


class Bias(click.ParamType[Any]):
    """A token's id and a number."""

    name = "bias"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, float]:
        """Read them, or fail naming the text."""
        index, _, bias = value.partition("=")
        try:
            return int(index), float(bias)
        except ValueError:
            self.fail(f"'{value}' is not a token id and a number such as 50256=-1.5", param, ctx)


OPTIONS = (
    click.option(
        "--max-new-tokens",
        type=int,
        help="Longest continuation.  [default: the model's, 64; of a task its own]",
    ),
    click.option(
        "--temperature",
        type=float,
        help="0 is greedy, 1 the model's own probabilities.  [default: the model's, mostly 0; of a task 0]",
    ),
    click.option("--top-k", type=int, help="Sample from the K most probable tokens only."),
    click.option("--top-p", type=float, help="Sample from the most probable tokens that sum to P only."),
    click.option("--min-p", type=float, help="Drop tokens below P times the most probable."),
    click.option(
        "--typical-p", type=float, help="Sample from the tokens nearest to the expected information."
    ),
    click.option("--repetition-penalty", type=float, help="Above 1 discourages what was said already."),
    click.option("--presence-penalty", type=float, help="Taken off the logits of tokens written before."),
    click.option("--frequency-penalty", type=float, help="The same, for each time they were written."),
    click.option("--no-repeat-ngram-size", type=int, help="Let no N tokens in a row come twice."),
    click.option(
        "--bad-word", "bad_words", multiple=True, help="Text not to write; may be given several times."
    ),
    click.option("--allowed-token-ids", type=Ids(), metavar="ID,ID,...", help="Write no other tokens."),
    click.option(
        "--logit-bias",
        type=Bias(),
        multiple=True,
        metavar="ID=BIAS",
        help="Added to a token's logit; may be given several times.",
    ),
    click.option("--min-new-tokens", type=int, help="Do not end the text before so many."),
    click.option("--num-beams", type=int, help="Search the best text with N beams, in place of sampling."),
    click.option("--length-penalty", type=float, help="Of beams: above 0 favours long texts.  [default: 1]"),
    click.option(
        "--early-stopping",
        type=click.Choice(["true", "false", "never"]),
        help="Of beams: end at N ended ones, when better is unlikely, or impossible.  [default: false]",
    ),
    click.option(
        "--stop", multiple=True, help="Text that ends the continuation; may be given several times."
    ),
    click.option("--seed", type=int, help="The same seed gives the same text.  [default: 0]"),
    click.option(
        "--prompt-lookup-num-tokens",
        type=int,
        help="Longest draft that the text itself foretells; adapts to what comes true.  [default: 0, off]",
    ),
)
OF_SEVERAL = (
    click.option("--num-samples", "num_return_sequences", type=int, help="Continuations of each prompt."),
    click.option("--echo", is_flag=True, default=None, help="Print the prompt before its continuation."),
)


def generation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of generation, by the names of GenerationConfig's fields.

    Only `bad_words` is no field: `without_words` turns it into ids.
    """
    for option in reversed(OF_SEVERAL):
        command = option(command)
    return answer_options(command)


def answer_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that wants one text a prompt, and the text alone."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def settings_of(folder: str, given: dict[str, Any]) -> GenerationConfig:
    """The folder's generation config, changed by the options that were given."""
    return changed(artifacts.read_generation_config(artifacts.model_folder(folder)), given)


def changed(own: GenerationConfig, given: dict[str, Any]) -> GenerationConfig:
    """Settings, changed by the options that were given."""
    changes = {name: value for name, value in given.items() if value is not None and value != ()}
    if "logit_bias" in changes:
        changes["logit_bias"] = {**own.logit_bias, **dict(changes["logit_bias"])}
    if "early_stopping" in changes:
        changes["early_stopping"] = EARLY_STOPPING[changes["early_stopping"]]
    try:
        return dataclasses.replace(own, **changes)
    except UsageError as error:
        raise UsageError(str(error).replace("num_return_sequences", "--num-samples")) from error


def tell_of_idle_options(given: dict[str, Any], settings: GenerationConfig) -> None:
    """Say on standard error which of the options given have no say in texts that are written so.

    They are not refused, nor is a seed named: a script may give them whatever the temperature is.
    """
    if settings.is_greedy:
        _tell_of_idle(given, OF_SAMPLING, "while the temperature is 0 (greedy): give --temperature")
    if settings.num_beams == 1:
        _tell_of_idle(given, OF_BEAMS, "without beams: give --num-beams")


def _tell_of_idle(given: dict[str, Any], names: tuple[str, ...], reason: str) -> None:
    idle = [f"--{name.replace('_', '-')}" for name in names if given.get(name) is not None]
    if idle:
        click.echo(f"kerasgpt: no effect of {', '.join(idle)} {reason}", err=True)


def without_words(
    words: tuple[str, ...], tokenizer: Tokenizer, settings: GenerationConfig
) -> GenerationConfig:
    """Forbid words too, at the beginning of a text and after a space."""
    spelled = [tokenizer.encode(text) for word in words if word for text in (word, f" {word}")]
    bad_words_ids = (*settings.bad_words_ids, *(tuple(ids) for ids in spelled))
    return dataclasses.replace(settings, bad_words_ids=bad_words_ids)
