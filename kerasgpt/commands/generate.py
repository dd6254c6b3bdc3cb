"""``kerasgpt generate``: continue prompts on any engine."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import click

from kerasgpt.artifacts import model_folder
from kerasgpt.commands.generation_settings import (
    generation_options,
    settings_of,
    tell_of_idle_options,
    without_words,
)
from kerasgpt.commands.json_output import echo_json
from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tasks.asking import filled_in
from kerasgpt.tasks.templates import read_template

if TYPE_CHECKING:
    from kerasgpt.protocols import LanguageModel


@click.command("generate")
@click.argument("folder", metavar="MODEL|RUN|BUNDLE")
@click.option("--prompt", "prompts", multiple=True, help="Text to continue; may be given several times.")
@click.option("--prompt-file", help="A file whose whole text is the prompt.")
@click.option("--engine", default="auto", show_default=True, help="auto, onnx, saved_model or keras.")
@click.option("--precision", help="Of the exported file; default: the first there is.")
@click.option("--num-threads", type=int, help="Threads of ONNX Runtime.  [default: one for each core]")
@click.option("--provider", "providers", multiple=True, help="Where ONNX Runtime computes.  [default: cpu]")
@generation_options
@click.option(
    "--no-template", is_flag=True, help="Take prompts as they are, whatever the model was tuned on."
)
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
    no_template: bool,
    stream: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Continue prompts: --prompt, --prompt-file, or standard input (one final line break is dropped).

    Prints the continuation, without its prompt unless --echo asks for it. An empty prompt starts from
    <|endoftext|>. A model that was fine-tuned on a task takes raw input: the text, or where the task has
    several fields a JSON object of them.
    """
    if stream and as_json:
        raise UsageError("--stream and --json exclude each other: choose one")
    texts = _read_prompts(prompts, prompt_file)
    settings = settings_of(folder, given)
    tell_of_idle_options(given, settings)
    if stream and len(texts) * settings.num_return_sequences > 1:
        raise UsageError("--stream writes one continuation: give one prompt and one sample")
    lm = load(folder, engine, precision, num_threads=num_threads, providers=providers or None)
    settings = without_words(bad_words, lm.tokenizer, settings)
    template = None if no_template else read_template(model_folder(folder))
    filled = filled_in(template, lm, texts, settings.max_new_tokens)
    if stream:
        _stream(lm, filled[0], settings)
    else:
        _print_all(lm, texts, filled, settings, as_json)


def _read_prompts(prompts: tuple[str, ...], prompt_file: str | None) -> list[str]:
    if prompts and prompt_file is not None:
        raise UsageError("--prompt and --prompt-file exclude each other: choose one")
    if prompts:
        return list(prompts)
    try:
        if prompt_file is None:
            if sys.stdin.isatty():
                click.echo("kerasgpt: type the prompt and end it with Ctrl-D, or give --prompt", err=True)
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


def _print_all(
    lm: LanguageModel, texts: list[str], prompts: list[str], settings: GenerationConfig, as_json: bool
) -> None:
    for number, generation in enumerate(lm.generate(prompts, settings)):
        if as_json:
            prompt = texts[number // settings.num_return_sequences]
            content = {"prompt": prompt, **dataclasses.asdict(generation)}
            echo_json(content)
        else:
            click.echo(("---\n" if number else "") + generation.text)
