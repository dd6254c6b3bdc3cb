"""``kerasgpt score``: log-probabilities of continuations, as JSON lines."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from kerasgpt.commands.json_output import echo_json
from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError

if TYPE_CHECKING:
    from kerasgpt.protocols import LanguageModel

LINES_AT_ONCE = 256


@click.command("score")
@click.argument("folder", metavar="MODEL|RUN|BUNDLE")
@click.option("--engine", default="auto", show_default=True, help="auto, onnx, saved_model or keras.")
@click.option("--precision", help="Of the exported file; default: the first there is.")
def command(folder: str, engine: str, precision: str | None) -> None:
    """Read {"prompt", "continuation"} a line from standard input, print log-probabilities.

    Each answer is {"prompt", "continuation", "logprob", "num_tokens", "is_greedy"}, in nats.
    """
    lm = load(folder, engine, precision)
    if sys.stdin.isatty():
        click.echo('kerasgpt: type a {"prompt", "continuation"} a line, and at last Ctrl-D', err=True)
    batch: list[_Pair] = []
    try:
        for pair in _read_pairs():
            batch.append(pair)
            if len(batch) == LINES_AT_ONCE:
                _answer(lm, batch)
                batch = []
    except KerasGPTError:  # of a line that is no pair
        _answer(lm, batch)
        raise
    _answer(lm, batch)


def _answer(lm: LanguageModel, batch: Sequence[_Pair]) -> None:
    """Score pairs together; where that fails for one of them, those before it are answered."""
    try:
        _print_scores(lm, batch)
    except UsageError:
        for pair in batch:
            try:
                _print_scores(lm, [pair])
            except UsageError as error:
                raise UsageError(f"standard input, line {pair.number}: {error}") from error


class _Pair(NamedTuple):
    """A line of standard input, by its number from 1."""

    number: int
    prompt: str
    continuation: str


def _print_scores(lm: LanguageModel, pairs: Sequence[_Pair]) -> None:
    """Score pairs, and only then print them."""
    if not pairs:
        return
    _, prompts, continuations = zip(*pairs, strict=True)
    for pair, score in zip(pairs, lm.score(prompts, continuations), strict=True):
        asked = {"prompt": pair.prompt, "continuation": pair.continuation}
        echo_json({**asked, **dataclasses.asdict(score)})


def _read_pairs() -> Iterator[_Pair]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            prompt, continuation = content["prompt"], content["continuation"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise KerasGPTError(
                f'standard input, line {number}: not a JSON object with "prompt" and "continuation"'
            ) from error
        if not isinstance(prompt, str) or not isinstance(continuation, str):
            raise KerasGPTError(f"standard input, line {number}: prompt and continuation must be strings")
        yield _Pair(number, prompt, continuation)
