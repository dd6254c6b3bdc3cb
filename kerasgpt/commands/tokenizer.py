"""``kerasgpt tokenizer``: learn a vocabulary, encode, decode."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from kerasgpt import checks
from kerasgpt.artifacts import CONFIG, MANIFEST, RUN_CONFIG
from kerasgpt.commands.several import SeveralCommand
from kerasgpt.data.reading import ErrorHandling
from kerasgpt.data.sources import read_documents
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tokenizer.bpe import Tokenizer


@click.group("tokenizer")
def command() -> None:
    """Learn a byte-level BPE vocabulary; turn text into ids and back."""


@command.command("train", cls=SeveralCommand)
@click.option(
    "--data",
    "paths",
    multiple=True,
    required=True,
    metavar="PATH...",
    help="Files of text, JSON lines or parquet.",
)
@click.option("--vocabulary-size", type=int, required=True, help="Ids, 256 bytes and <|endoftext|> included.")
@click.option("--min-frequency", type=click.IntRange(1), default=2, help="A rarer pair is not merged.")
@click.option(
    "--special-token", "special_tokens", multiple=True, metavar="NAME", help="One beside <|endoftext|>."
)
@click.option("--errors", type=click.Choice(["strict", "replace"]), default="strict", help="On bad UTF-8.")
@click.option("--out", required=True, help="Folder to write, in Hugging Face form.")
def train(
    paths: tuple[str, ...],
    vocabulary_size: int,
    min_frequency: int,
    special_tokens: tuple[str, ...],
    errors: ErrorHandling,
    out: str,
) -> None:
    """Learn a vocabulary from files, read as a stream."""
    if any((Path(out) / name).exists() for name in (MANIFEST, CONFIG, RUN_CONFIG)):
        raise UsageError(f"{out}: holds a model, to which its tokenizer belongs; choose another folder")
    texts = read_documents(paths, errors)
    tokenizer = Tokenizer.learn(
        texts, vocabulary_size, minimum_frequency=min_frequency, special_tokens=special_tokens
    )
    tokenizer.save_to_preset(out)
    click.echo(f"{out}: {tokenizer.vocabulary_size} ids, {len(tokenizer.merges)} merges", err=True)


@command.command("encode")
@click.argument("source", metavar="PRESET|FOLDER")
@click.option("--lines", is_flag=True, help="Encode each line apart, without its line break.")
@click.option(
    "--allow-special",
    "allowed",
    multiple=True,
    metavar="NAME|all",
    help="Special token to recognise; by default all are ordinary text.",
)
def encode(source: str, lines: bool, allowed: tuple[str, ...]) -> None:
    """Read text from standard input, print {"ids": [...]}."""
    tokenizer = Tokenizer.from_preset(source)
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise KerasGPTError(f"standard input: not UTF-8 at byte {error.start}; convert it first") from error
    texts = text.removesuffix("\n").split("\n") if lines else [text]
    for ids in tokenizer.encode_batch(texts, allowed_special="all" if "all" in allowed else allowed):
        click.echo(json.dumps({"ids": ids}))


@command.command("decode")
@click.argument("source", metavar="PRESET|FOLDER")
def decode(source: str) -> None:
    """Read {"ids": [...]} a line from standard input, print each one's text."""
    tokenizer = Tokenizer.from_preset(source)
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            ids = checks.ids("ids", json.loads(line)["ids"])
        except (ValueError, KeyError, TypeError, RecursionError, UsageError) as error:
            raise KerasGPTError(f'standard input, line {number}: not {{"ids": [...]}}') from error
        click.echo(tokenizer.decode(ids, skip_special_tokens=False))
