"""``kerasgpt generate``: continue prompts on any engine."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from kerasgpt import artifacts
from kerasgpt.config import GenerationConfig
from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError

if TYPE_CHECKING:
    from kerasgpt.protocols import LanguageModel

EARLY_STOPPING = {"true": True, "false": False, "never": "never"}


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


@click.command("generate")
@click.argument("folder", metavar="MODEL|RUN|BUNDLE")
@click.option("--prompt", "prompts", multiple=True, help="Text to continue; may be given several times.")
@click.option("--prompt-file", help="A file whose whole text is the prompt.")
@click.option("--engine", default="auto", show_default=True, help="auto, onnx, saved_model or keras.")
@click.option("--precision", help="Of the exported file; default: the first there is.")
@click.option("--num-threads", type=int, help="Threads of ONNX Runtime.  [default: one for each core]")
@click.option("--provider", "providers", multiple=True, help="Where ONNX Runtime computes.  [default: cpu]")
@click.option("--max-new-tokens", type=int, help="Longest continuation.  [default: the model's, 64]")
@click.option("--temperature", type=float, help="0 is greedy, 1 the model's own probabilities.")
@click.option("--top-k", type=int, help="Sample from the K most probable tokens only.")
@click.option("--top-p", type=float, help="Sample from the most probable tokens that sum to P only.")
@click.option("--min-p", type=float, help="Drop tokens below P times the most probable.")
@click.option("--typical-p", type=float, help="Sample from the tokens nearest to the expected information.")
@click.option("--repetition-penalty", type=float, help="Above 1 discourages what was said already.")
@click.option("--presence-penalty", type=float, help="Taken off the logits of tokens written before.")
@click.option("--frequency-penalty", type=float, help="The same, for each time they were written.")
@click.option("--no-repeat-ngram-size", type=int, help="Let no N tokens in a row come twice.")
@click.option("--bad-word", "bad_words", multiple=True, help="Text not to write; may be given several times.")
@click.option("--allowed-token-ids", type=Ids(), metavar="ID,ID,...", help="Write no other tokens.")
@click.option(
    "--logit-bias",
    type=Bias(),
    multiple=True,
    metavar="ID=BIAS",
    help="Added to a token's logit; may be given several times.",
)
@click.option("--min-new-tokens", type=int, help="Do not end the text before so many.")
@click.option("--num-beams", type=int, help="Search the best text with N beams, in place of sampling.")
@click.option("--length-penalty", type=float, help="Of beams: above 0 favours long texts.  [default: 1]")
@click.option(
    "--early-stopping",
    type=click.Choice(["true", "false", "never"]),
    help="Of beams: end at N ended ones, when better is unlikely, or impossible.  [default: false]",
)
@click.option("--stop", multiple=True, help="Text that ends the continuation; may be given several times.")
@click.option("--seed", type=int, help="The same seed gives the same text.  [default: 0]")
@click.option("--num-samples", "num_return_sequences", type=int, help="Continuations of each prompt.")
@click.option(
    "--prompt-lookup-num-tokens",
    type=int,
    help="Longest draft that the text itself foretells; adapts to what comes true.  [default: 0, off]",
)
@click.option("--echo", is_flag=True, default=None, help="Print the prompt before its continuation.")
@click.option("--stream", is_flag=True, help="Print the text as it comes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(
    folder: str,
    prompts: tuple[str, ...],
    prompt_file: str | None,
    engine: str,
    precision: str | None,
    num_threads: int | None,
    providers: tuple[str, ...],
    bad_words: tuple[str, ...],
    stream: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Continue prompts: --prompt, --prompt-file, or standard input (one final line break is dropped).

    Prints the continuation, without its prompt unless --echo asks for it. An empty prompt starts from
    <|endoftext|>.
    """
    if stream and as_json:
        raise UsageError("--stream and --json exclude each other: choose one")
    texts = _read_prompts(prompts, prompt_file)
    settings = _settings(folder, given)
    if stream and len(texts) * settings.num_return_sequences > 1:
        raise UsageError("--stream writes one continuation: give one prompt and one sample")
    lm = load(folder, engine, precision, num_threads=num_threads, providers=providers or None)
    settings = _without(bad_words, lm, settings)
    if stream:
        _stream(lm, texts[0], settings)
    else:
        _print_all(lm, texts, settings, as_json)


def _settings(folder: str, given: dict[str, Any]) -> GenerationConfig:
    """The folder's generation config, changed by the options that were given."""
    own = artifacts.read_generation_config(artifacts.model_folder(folder))
    changes = {name: value for name, value in given.items() if value is not None and value != ()}
    if "logit_bias" in changes:
        changes["logit_bias"] = {**own.logit_bias, **dict(changes["logit_bias"])}
    if "early_stopping" in changes:
        changes["early_stopping"] = EARLY_STOPPING[changes["early_stopping"]]
    return dataclasses.replace(own, **changes)


def _without(words: tuple[str, ...], lm: LanguageModel, settings: GenerationConfig) -> GenerationConfig:
    """Forbid words too, at the beginning of a text and after a space."""
    spelled = [lm.tokenizer.encode(text) for word in words if word for text in (word, f" {word}")]
    bad_words_ids = (*settings.bad_words_ids, *(tuple(ids) for ids in spelled))
    return dataclasses.replace(settings, bad_words_ids=bad_words_ids)


def _read_prompts(prompts: tuple[str, ...], prompt_file: str | None) -> list[str]:
    if prompts and prompt_file is not None:
        raise UsageError("--prompt and --prompt-file exclude each other: choose one")
    if prompts:
        return list(prompts)
    try:
        if prompt_file is None:
            data = sys.stdin.buffer.read()
        else:
            with open(prompt_file, "rb") as file:
                data = file.read()
        return [data.decode("utf-8").removesuffix("\n")]
    except OSError as error:
        raise KerasGPTError(f"{prompt_file}: cannot read the prompt ({error.strerror})") from error
    except UnicodeDecodeError as error:
        where = prompt_file or "standard input"
        raise KerasGPTError(f"{where}: not UTF-8 at byte {error.start}; convert it first") from error


def _stream(lm: LanguageModel, text: str, settings: GenerationConfig) -> None:
    for piece in lm.stream(text, settings):
        click.echo(piece, nl=False)
        sys.stdout.flush()
    click.echo()


def _print_all(lm: LanguageModel, texts: list[str], settings: GenerationConfig, as_json: bool) -> None:
    for number, generation in enumerate(lm.generate(texts, settings)):
        if as_json:
            prompt = texts[number // settings.num_return_sequences]
            content = {"prompt": prompt, **dataclasses.asdict(generation)}
            click.echo(json.dumps(content, ensure_ascii=False))
        else:
            click.echo(("---\n" if number else "") + generation.text)
