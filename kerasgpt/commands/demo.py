"""``kerasgpt demo``: the whole way on a real text, from letters to three exported engines that agree."""

from __future__ import annotations

import json
import subprocess
import time
from importlib import resources
from pathlib import Path
from typing import Any

import click

from kerasgpt import artifacts
from kerasgpt.config import read_json
from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError
from kerasgpt.extras import require
from kerasgpt.manifest import Manifest
from kerasgpt.training.interruption import InterruptedRunError

PROMPT = "ROMEO:\n"
ENGINES = ("keras", "onnx", "saved_model")


@click.command("demo")
@click.option("--run", "run_folder", default="runs/demo", show_default=True, help="Where training goes.")
@click.option("--out", default="saved_models/demo", show_default=True, help="Where the bundle goes.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe."
)
def command(run_folder: str, out: str, overrides: tuple[str, ...]) -> None:
    """Train a small GPT-2 on tinyshakespeare, export it, verify it, and let it write.

    Takes some five minutes on two cores. What is done already is not done again; interrupted with
    Ctrl-C, the same command goes on where it stopped.
    """
    require("tensorflow", "export", "the demo")
    require("onnx", "export", "the demo")
    run, bundle = Path(run_folder), Path(out)
    started = time.monotonic()
    _heading(1, f"Train: a GPT-2 learns tinyshakespeare with model.fit -> {run}")
    _train(run, overrides)
    _heading(2, f"Export: SavedModel and ONNX, each proved equal in a fresh process -> {bundle}")
    _export(run, bundle)
    _heading(3, "Verify: hashes of all files, parity of all artifacts")
    _verify(bundle)
    _heading(4, f"Generate: {PROMPT!r} continued greedily by each engine in its own process")
    _generate(bundle)
    _farewell(run, bundle, time.monotonic() - started)


def _train(run: Path, overrides: tuple[str, ...]) -> None:
    assets = resources.files("kerasgpt") / "assets"
    text = json.dumps(str(assets / "tinyshakespeare.txt"))
    recipe = resolve("kerasgpt.training.config:Recipe").from_toml(
        str(assets / "demo.toml"), [f"data.paths=[{text}]", *overrides]
    )
    try:
        resolve("kerasgpt.training.train:train")(recipe, run, resume=True)
    except InterruptedRunError as stopped:
        raise InterruptedRunError(f"{stopped}, or with the same 'kerasgpt demo'", stopped.number) from stopped
    summary = read_json(run / artifacts.RUN_SUMMARY)
    click.echo(
        f"{_score(summary, recipe.data.test_fraction)}{summary['seconds']:.0f} s of training"
        f" ({summary['tokens_per_second']:,.0f} tokens a second)"
    )


def _score(summary: dict[str, Any], test_fraction: float) -> str:
    """Bits per byte on the test part, or the validation part; nothing where there is none."""
    parts = {"test": f"the last {100 * test_fraction:g} % of the text", "validation": "the validation part"}
    for part, words in parts.items():
        bits = summary.get(f"{part}_bits_per_byte")
        if bits is not None:
            return f"{bits:.3f} bits per byte on {words}, after "
    return "no part of the text to score it by, after "


def _export(run: Path, bundle: Path) -> None:
    weights = artifacts.sha256_of(run / artifacts.RUN_MODEL / artifacts.WEIGHTS)
    if _weights_in(bundle) == weights:
        click.echo(f"{bundle} holds this very model already")
        return
    export_folder = resolve("kerasgpt.export.pipeline:export_folder")
    export_folder(run, bundle, tell=lambda line: click.echo(f"  {line}", err=True))
    click.echo((bundle / artifacts.REPORT_MARKDOWN).read_text(encoding="utf-8").split("\n\n", 2)[2].rstrip())


def _weights_in(bundle: Path) -> str:
    """The hash of a bundle's weights; none if there is no bundle."""
    there = (bundle / artifacts.MANIFEST).is_file()
    return Manifest.read(bundle).files.get(artifacts.WEIGHTS, "") if there else ""


def _verify(bundle: Path) -> None:
    result = resolve("kerasgpt.export.verification:verify")(bundle)
    for check in result.checks:
        click.echo(f"{check.status:12} {check.name}: {check.detail}")
    if not result.holds:
        raise KerasGPTError(f"{bundle}: not verified; delete it and run the demo again")


def _generate(bundle: Path) -> None:
    texts = {engine: _generation(bundle, engine)["text"] for engine in ENGINES}
    if len(set(texts.values())) > 1:
        raise KerasGPTError(f"the engines differ: {json.dumps(texts, ensure_ascii=False)}")
    click.echo(f"{', '.join(ENGINES)}: the same text\n")
    click.echo(PROMPT + next(iter(texts.values())))


def _generation(bundle: Path, engine: str) -> dict[str, Any]:
    """Generate in a process that sees one engine's own files only."""
    proof = "kerasgpt.export.proof"
    with resolve(f"{proof}:own_files")(bundle, engine) as apart:
        arguments = ["generate", str(apart), "--engine", engine, "--prompt", PROMPT, "--json"]
        child = subprocess.run(
            resolve(f"{proof}:child_command")("-m", "kerasgpt", *arguments),
            env=resolve(f"{proof}:child_environment")(),
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode != 0:
        raise KerasGPTError(f"{engine} could not generate: {child.stderr.strip()}")
    answer: dict[str, Any] = json.loads(child.stdout)
    return answer


def _heading(number: int, text: str) -> None:
    click.secho(f"\n{number}. {text}", bold=True)


def _farewell(run: Path, bundle: Path, seconds: float) -> None:
    click.secho(f"\nDone in {seconds:.0f} s.", bold=True)
    click.echo(
        f"""
The run     {run}: {artifacts.RUN_PLOT}, {artifacts.RUN_METRICS}, {artifacts.RUN_SUMMARY}, the best model
The bundle  {bundle}: {artifacts.ONNX_MODEL}, {artifacts.SAVED_MODEL}, {artifacts.REPORT_MARKDOWN},
            and a Hugging Face folder around them

Next:
  kerasgpt generate {bundle} --prompt "JULIET:" --temperature 0.8 --top-k 40 --stream
  kerasgpt train --data YOUR.txt --out runs/mine
  kerasgpt export runs/mine --out saved_models/mine"""
    )
