"""``kerasgpt compare``: a page on which people judge two models blindly, and the count of their votes."""

from __future__ import annotations

import dataclasses
import gc
import json
from collections.abc import Sequence
from typing import Any

import click

from kerasgpt.artifacts import model_folder
from kerasgpt.atomic import require_place, write_text
from kerasgpt.commands.generation_settings import answer_options, settings_of, without_words
from kerasgpt.commands.json_output import echo_json
from kerasgpt.commands.several import SeveralCommand
from kerasgpt.engines import choose, load, precision_of
from kerasgpt.errors import UsageError, counted, unknown_name
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tasks.asking import filled_in
from kerasgpt.tasks.people.comparison import compare, page, read_prompts
from kerasgpt.tasks.people.votes import count, read_votes
from kerasgpt.tasks.templates import read_template

ENGINE_HELP = "auto, onnx, saved_model or keras.  [default: auto]"
PRECISION_HELP = "Of the exported file; default: the first there is."
SETTING_HELP = "A setting of this side alone, such as temperature=0.5; may be given several times."
FIXED = ("echo", "num_return_sequences")  # the page shows the prompt itself, and one text of each side


@click.command("compare", cls=SeveralCommand)
@click.argument("folders", metavar="[A B]", nargs=-1)
@click.option("--prompts", help='A file: a prompt a line, or .jsonl with {"prompt"} a line.')
@click.option("--out", help="The page to write.")
@click.option("--votes", multiple=True, metavar="PATH...", help="Files of votes that the page exported.")
@click.option("--json", "as_json", is_flag=True, help="Print the count of votes as JSON.")
@click.option("--shuffle-seed", type=int, default=0, show_default=True, help="Of order and places.")
@click.option("--engine-a", default="auto", help=ENGINE_HELP)
@click.option("--engine-b", default="auto", help=ENGINE_HELP)
@click.option("--precision-a", help=PRECISION_HELP)
@click.option("--precision-b", help=PRECISION_HELP)
@click.option("--set-a", multiple=True, metavar="NAME=VALUE", help=SETTING_HELP)
@click.option("--set-b", multiple=True, metavar="NAME=VALUE", help=SETTING_HELP)
@answer_options
@click.option("--no-template", is_flag=True, help="Take prompts as they are, whatever a model was tuned on.")
def command(
    folders: tuple[str, ...],
    prompts: str | None,
    out: str | None,
    votes: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Write a page of blind pairs of continuations by A and B, or count the votes that it exported.

    A and B are models, runs or bundles; the same one twice with other precisions, engines or settings. The
    settings of generation are those of both, --set-a and --set-b change them for one. A model that was
    fine-tuned on a task takes raw input, as with generate.
    """
    if votes:
        if folders or prompts or out:
            raise UsageError("--votes counts what was judged: it goes without A, B, --prompts and --out")
        result = count(read_votes(votes))
        echo_json(result) if as_json else click.echo(_table(result))
        return
    if len(folders) != 2 or not prompts or not out:
        raise UsageError("compare wants A, B, --prompts FILE and --out PAGE; or --votes FILE")
    if as_json:
        raise UsageError("--json is the form of a count: give --votes FILE")
    _write_page(folders, prompts, out, given)


def _write_page(folders: Sequence[str], prompts: str, out: str, given: dict[str, Any]) -> None:
    bad_words, shuffle_seed = given.pop("bad_words"), given.pop("shuffle_seed")
    no_template = given.pop("no_template")
    own = [{kind: given.pop(f"{kind}_{side}") for kind in ("engine", "precision", "set")} for side in "ab"]
    require_place(out)
    texts = read_prompts(prompts)
    settings = [_settings(folder, given, side["set"]) for folder, side in zip(folders, own, strict=True)]
    sides, written = [], []
    for folder, side, chosen in zip(folders, own, settings, strict=True):
        engine = choose(folder, side["engine"])
        lm = load(folder, engine, side["precision"])
        words = without_words(bad_words, lm.tokenizer, chosen)
        template = None if no_template else read_template(model_folder(folder))
        filled = filled_in(template, lm, texts, words.max_new_tokens)
        written.append([generation.text for generation in lm.generate(filled, words)])
        sides.append(
            {
                "model": folder,
                "engine": engine,
                "precision": side["precision"] or precision_of(folder, engine),
                "settings": _changed(words),
            }
        )
        del lm
        gc.collect()  # the first model leaves before the second comes
    comparison = compare(texts, (written[0], written[1]), (sides[0], sides[1]), shuffle_seed)
    write_text(out, page(comparison))
    click.echo(
        f"{out}: {counted(len(comparison.pairs), 'pair')} to judge, comparison {comparison.name}"
        f" (left out: {counted(comparison.num_identical, 'prompt')} continued alike)"
    )


def _settings(folder: str, given: dict[str, Any], changes: Sequence[str]) -> GenerationConfig:
    """Those of both sides, changed for one; the page shows the prompt itself, and one text of each side."""
    own = dataclasses.replace(settings_of(folder, given), num_return_sequences=1, echo=False)
    return dataclasses.replace(own, **dict(map(_setting, changes)))


def _setting(text: str) -> tuple[str, Any]:
    """Read ``name=value``: a number, true or false; or the text that stops."""
    name, equals, value = text.partition("=")
    plain = dataclasses.asdict(GenerationConfig())
    known = [each for each in plain if each not in FIXED and not isinstance(plain[each], tuple | dict)]
    if not equals:
        raise UsageError(f"'{text}' is no setting: write NAME=VALUE, such as temperature=0.5")
    if name == "stop":
        return name, (value,)
    if name not in known:
        raise unknown_name("setting", name, [*known, "stop"])
    if name == "early_stopping" and value == "never":
        return name, value
    try:
        read = json.loads(value)
    except ValueError:
        read = None
    wanted = type(plain[name])
    if not (type(read) is wanted or (wanted is float and type(read) is int)):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[wanted]
        raise UsageError(f"{name} is '{value}': it must be {kind}")
    return name, read


def _changed(settings: GenerationConfig) -> dict[str, Any]:
    """The settings that are not the default, for the reader of the result."""
    plain, ours = dataclasses.asdict(GenerationConfig()), dataclasses.asdict(settings)
    return {name: value for name, value in ours.items() if value != plain[name]}


def _table(result: dict[str, Any]) -> str:
    """The count for a reader."""
    low, high = result["interval"]
    votes = result["votes"]
    rows = [
        ("A", _side(result["a"])),
        ("B", _side(result["b"])),
        ("win rate of A", f"{result['win_rate']:.1%}   95 % interval {low:.1%} to {high:.1%}"),
        ("votes", f"A {votes['a']}, equal {votes['tie']}, B {votes['b']}   (equal: half a win for each)"),
        ("sign test", f"p = {result['p_value']:.3g}   (a pair is one observation; equal ones drop out)"),
        ("pairs judged", f"{result['num_pairs_judged']} of {result['num_pairs']}"),
        ("continued alike", f"{result['num_identical']} more prompts, not judged and not counted"),
        ("raters", str(result["num_raters"])),
    ]
    if result["agreement"] is not None:
        alpha = "undefined" if result["alpha"] is None else f"{result['alpha']:.2f}"
        rows.append(("agreement", f"{result['agreement']:.1%}   Krippendorff's alpha {alpha}"))
    if result["first_preferred"] is not None:
        rows.append(("shown first won", f"{result['first_preferred']:.1%} of the decided votes"))
    return "\n".join(f"{name:<16} {text}" for name, text in rows)


def _side(side: dict[str, Any]) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in side["settings"].items())
    return f"{side['model']}   {side['engine']}, {side['precision']}{', ' if settings else ''}{settings}"
