"""``kerasgpt import``: a checkpoint of any format becomes a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerasgpt.architectures import type_of
from kerasgpt.artifacts import GENERATION_CONFIG, SOFT_PROMPT, TASK
from kerasgpt.atomic import atomic_folder
from kerasgpt.config import read_json
from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.extras import require
from kerasgpt.generation.soft_prompt import read_soft_prompt, save_soft_prompt
from kerasgpt.tasks.templates import read_template
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.end_of_text import aligned

if TYPE_CHECKING:
    from kerasgpt.architectures import AnyConfig
    from kerasgpt.config import GPT2Config
    from kerasgpt.protocols import Vectors

# Resolved when called: this room is heavy, and --help is instant.
FORMATS = "kerasgpt.checkpoints.formats"
KERAS_HUB = "kerasgpt.checkpoints.keras_hub_writer"


@click.command("import")
@click.argument("source", metavar="SOURCE")
@click.option("--out", required=True, metavar="MODEL", help="Folder to write; it must not exist yet.")
@click.option(
    "--format",
    "written_as",
    type=click.Choice(["huggingface", "keras_hub"]),
    default="huggingface",
    show_default=True,
    help="What to write: a model folder, or a preset for KerasHub.",
)
def command(source: str, out: str, written_as: str) -> None:
    """Read a GPT-2 and write it as a model folder: the form of Hugging Face, in float32.

    SOURCE is a Hugging Face folder, OpenAI's TensorFlow checkpoint (hparams.json, model.ckpt.*), a KerasHub
    preset or a folder with transformers' tf_model.h5. A pickle (.bin, .pt) is not opened; you are told how
    to convert it.
    """
    if Path(out).exists():
        raise UsageError(f"{out}: exists already; choose another folder, or remove it first")
    require("keras", "train", "importing")
    found = resolve(f"{FORMATS}:find_format")(source)
    config, stored = resolve(f"{FORMATS}:read_checkpoint")(source)
    if written_as == "keras_hub":
        resolve(f"{KERAS_HUB}:refuse_unknown_settings")(config)
    files = resolve(f"{FORMATS}:files_folder")(source)
    prompt, template = _soft_prompt(files, config, written_as), read_template(files)
    tokenizer, whose = _fitting(resolve(f"{FORMATS}:read_tokenizer")(source), config, source)
    arrays = dict(resolve("kerasgpt.checkpoints.mapping:checked_arrays")(stored, config, source))
    shape = f"{config.num_layers} layers, {config.num_parameters:,} parameters"
    click.echo(f"{source}: {found.title}, {shape}\ntokenizer: {whose}", err=True)
    if tokenizer is not None:
        config = _ending_with(tokenizer, config, source)
        _tell_of_other_ends(files / GENERATION_CONFIG, tokenizer)
    with atomic_folder(out, lambda _: False) as folder:
        if written_as == "keras_hub":
            resolve(f"{KERAS_HUB}:write_preset")(config, arrays, folder, tokenizer)
            if template is not None:
                _say_left_out(files / TASK, template.prompt)
        else:
            settings = resolve(f"{FORMATS}:read_generation_config")(source)
            resolve("kerasgpt.checkpoints.native:write_arrays")(config, arrays, folder, settings)
            if tokenizer is not None:
                tokenizer.save_to_preset(folder, max_sequence_length=config.max_sequence_length)
            if template is not None:
                template.write(folder)
            if prompt is not None:
                sizes = {"num_attention_heads": config.num_heads, "num_layers": config.num_layers}
                save_soft_prompt(prompt, folder / SOFT_PROMPT, out, sizes)
    click.echo(out)


def _ending_with(tokenizer: Tokenizer, config: AnyConfig, source: str) -> AnyConfig:
    """The configuration, naming the tokenizer's end of text where it names none that the tokenizer has."""
    found = aligned(config, tokenizer)
    named = config.eos_token_id
    if found.eos_token_id != named != config.vocabulary_size - 1:  # the last id is named by nobody
        end = tokenizer.end_of_text
        click.echo(f"{source}: eos_token_id {named} is no special token; texts end with {end}", err=True)
    return found


def _tell_of_other_ends(path: Path, tokenizer: Tokenizer) -> None:
    """Say which further tokens would end a text in transformers, whose settings may list several."""
    named = read_json(path).get("eos_token_id") if path.is_file() else None
    others = [
        index for index in (named if isinstance(named, list) else []) if index != tokenizer.end_of_text_id
    ]
    if others:
        click.echo(
            f"{path}: ends texts with the ids {others} too, and here {tokenizer.end_of_text} alone ends them:"
            f" give what they stand for as --stop",
            err=True,
        )


def _say_left_out(path: Path, prompt: str) -> None:
    """KerasHub's presets have a file of this name, for something else."""
    click.echo(f"{path}: left out, KerasHub knows no templates; write your prompts as {prompt!r}", err=True)


def _soft_prompt(folder: Path, config: AnyConfig, written_as: str) -> Vectors | None:
    """The soft prompt that lies with a model, to be written anew; None where there is none.

    Raises:
        UsageError: what is written has no place for it.
        KerasGPTError: its files are damaged.
    """
    path = folder / SOFT_PROMPT
    if not path.is_dir():
        return None
    model_type = type_of(config)
    if written_as == "keras_hub" or model_type != "gpt2":
        what = "a preset for KerasHub" if model_type == "gpt2" else f"a model of type {model_type}"
        raise UsageError(
            f"{path}: {what} has no place for a soft prompt; import a copy of {folder} without it"
        )
    return read_soft_prompt(path)


def _fitting(tokenizer: Tokenizer | None, config: GPT2Config, source: str) -> tuple[Tokenizer | None, str]:
    """The tokenizer to write, the source's own or else GPT-2's where it fits; and whose it is."""
    if tokenizer is not None:
        if tokenizer.vocabulary_size > config.vocabulary_size:
            raise KerasGPTError(
                f"{source}: its tokenizer has {tokenizer.vocabulary_size} ids, its model only"
                f" {config.vocabulary_size}; give the two that belong together"
            )
        return tokenizer, f"its own, {tokenizer.vocabulary_size:,} ids"
    packaged = Tokenizer.from_preset("gpt2")
    if packaged.vocabulary_size == config.vocabulary_size:
        return packaged, "none there; GPT-2's own is written, which has as many ids"
    return None, f"none there, and none written: GPT-2's has not {config.vocabulary_size:,} ids; add yours"
