"""``kerasgpt score``: log-probabilities of continuations, as JSON lines."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from itertools import islice

import click

from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError

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
    pairs = _read_pairs()
    while batch := list(islice(pairs, LINES_AT_ONCE)):
        prompts, continuations = zip(*batch, strict=True)
        for pair, score in zip(batch, lm.score(prompts, continuations), strict=True):
            content = {"prompt": pair[0], "continuation": pair[1], **dataclasses.asdict(score)}
            click.echo(json.dumps(content, ensure_ascii=False))


def _read_pairs() -> Iterator[tuple[str, str]]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            prompt, continuation = content["prompt"], content["continuation"]
        except (ValueError, KeyError, TypeError) as error:
            raise KerasGPTError(
                f'standard input, line {number}: not a JSON object with "prompt" and "continuation"'
            ) from error
        if not isinstance(prompt, str) or not isinstance(continuation, str):
            raise KerasGPTError(f"standard input, line {number}: prompt and continuation must be strings")
        yield prompt, continuation
