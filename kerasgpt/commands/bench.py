"""``kerasgpt bench``: how fast this machine runs a bundle's ONNX files, end to end."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from kerasgpt import artifacts
from kerasgpt.atomic import require_place
from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export.proof import child_command, child_environment
from kerasgpt.extras import require
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import LanguageModel

LONG_PROMPT: Final = 512  # tokens, or half of the context
SHORT_PROMPT: Final = 16
NEW_TOKENS: Final = 48
NUM_ROUNDS: Final = 3
BATCHES: Final = (1, 8)
MEBIBYTE: Final = 2**20

CHILD: Final = """
import sys
from kerasgpt.cli import main
if main(sys.argv[1:]) == 0:
    from kerasgpt.commands.bench import peak_memory_bytes
    print(peak_memory_bytes())
"""
"""A program that generates as asked, and says last how much memory it had."""

Tell = Callable[[str], None]


@click.command("bench")
@click.argument("folder", metavar="BUNDLE")
@click.option("--num-threads", type=click.IntRange(1), help="Of ONNX Runtime.  [default: one for each core]")
@click.option("--json", "json_file", metavar="FILE", help="Write the figures to this file too.")
def command(folder: str, num_threads: int | None, json_file: str | None) -> None:
    """Measure the fastest ONNX file of each precision on this machine, loop and text included.

    Milliseconds to read a long prompt; tokens written a second after prompts of 16 tokens, alone and eight
    together; of a fresh process the seconds to its first token and its largest memory. Medians of three.
    """
    root = Path(folder)
    if artifacts.folder_kind(root) != "bundle":
        raise UsageError(f"{root}: not a bundle: export it first with 'kerasgpt export {root} --out BUNDLE'")
    files = {name: file for name in artifacts.ONNX_FILES if (file := fastest_file(root, name))}
    if not files:
        raise UsageError(f"{root}: has no ONNX file: export the model again with --formats onnx")
    require("onnxruntime", "", "the onnx engine")
    if json_file is not None:
        require_place(json_file)
    click.echo(_line("precision", "file MiB", "prefill ms", "tokens/s", "batch 8", "first s", "memory MiB"))
    measured = {}
    for precision, file in files.items():
        found = measure(root, precision, file, num_threads, lambda line: click.echo(line, err=True))
        if found:
            measured[precision] = found
            click.echo(_row(precision, found))
    if not measured:
        raise KerasGPTError(f"{root}: no ONNX file of it can be run here")
    if json_file is not None:
        num_used = num_threads or os.cpu_count()
        artifacts.write_json(json_file, {"bundle": folder, "num_threads": num_used, "precisions": measured})


def measure(
    root: Path, precision: str, file: str, num_threads: int | None, tell: Tell = lambda _: None
) -> dict[str, Any]:
    """The figures of one file, plain numbers whose keys carry the unit; none if it cannot be run here.

    Args:
        root: a bundle.
        precision: of the file.
        file: the one that `kerasgpt generate` would run.
        num_threads: of ONNX Runtime; None means one for each core.
        tell: called with a line at each step.
    """
    runtime: Any = resolve("kerasgpt.runtime.language_model:open_file")
    missing: Any = resolve("kerasgpt.runtime.session:MissingOperatorError")
    try:
        lm = runtime(root, file, num_threads=num_threads or 0)
    except missing as error:
        tell(f"{precision}: left out: {error}")
        return {}
    path = root / file
    tell(f"{precision}: reading and writing with {file}")
    figures = {
        "file": file,
        "file_bytes": sum(part.stat().st_size for part in (path, Path(f"{path}_data")) if part.is_file()),
        **_speeds(lm, artifacts.read_config(root).vocabulary_size),
    }
    del lm  # so that the machine's memory is the child's
    tell(f"{precision}: starting {NUM_ROUNDS} fresh processes")
    started = [fresh_process(root, precision, num_threads) for _ in range(NUM_ROUNDS)]
    seconds, peaks = zip(*started, strict=True)
    return figures | {
        "first_token_seconds": round(statistics.median(seconds), 3),
        "peak_memory_bytes": round(statistics.median(peaks)),
    }


def fastest_file(root: Path, precision: str) -> str | None:
    """The file of a precision that would be run, if there is one."""
    return next((name for name in artifacts.ONNX_FILES[precision] if (root / name).is_file()), None)


def fresh_process(root: Path, precision: str, num_threads: int | None = None) -> tuple[float, int]:
    """Seconds from the start of a process to its first token, and the most memory it had, in bytes.

    Raises:
        KerasGPTError: it failed; the sentence is its own.
    """
    arguments = ["generate", "--engine", "onnx", "--precision", precision, "--prompt", "The"]
    # Whatever the folder's settings and its task's template would make of it.
    arguments += ["--max-new-tokens", "1", "--num-samples", "1", "--no-template", "--stream"]
    arguments += ["--num-threads", str(num_threads)] if num_threads else []
    arguments += ["--", str(root)]
    command = child_command("-c", CHILD, *arguments)
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment()
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seconds = time.perf_counter() - started
        rest, complaint = child.communicate()
    if not rest.strip():
        raise KerasGPTError(f"{root}: a fresh process failed: {complaint.strip() or child.returncode}")
    return seconds, int(rest.split()[-1])


def peak_memory_bytes() -> int:
    """The largest resident memory of this process."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:  # no Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    # Not by getrusage here: there a child begins with what its parent had when it was started.
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def _speeds(lm: LanguageModel, vocabulary_size: int) -> dict[str, Any]:
    """How long it reads, and how many tokens a second it writes."""
    long = min(LONG_PROMPT, lm.max_sequence_length // 2)
    prompts = np.random.default_rng(0).integers(0, vocabulary_size, (max(BATCHES), long)).tolist()
    _seconds(lm, prompts[:1], 1)  # warms up
    prefill = statistics.median(_seconds(lm, prompts[:1], 1)[0] for _ in range(NUM_ROUNDS))
    speeds: dict[str, Any] = {"prefill_tokens": long, "prefill_seconds": round(prefill, 4)}
    for size in BATCHES:
        short = [prompt[:SHORT_PROMPT] for prompt in prompts[:size]]
        found = [_seconds(lm, short, NEW_TOKENS) for _ in range(NUM_ROUNDS)]
        rate = statistics.median(written / seconds for seconds, written in found)
        speeds[f"batch_{size}_tokens_per_second"] = round(rate, 1)
    return speeds


def _seconds(lm: LanguageModel, prompts: list[list[int]], num_tokens: int) -> tuple[float, int]:
    """Seconds of one request, and tokens written: all that there is room for, end of text or not."""
    settings = GenerationConfig(max_new_tokens=num_tokens, min_new_tokens=num_tokens)
    started = time.perf_counter()
    written = sum(len(generation.token_ids) for generation in lm.generate(prompts, settings))
    return time.perf_counter() - started, written


def _row(precision: str, figures: dict[str, Any]) -> str:
    return _line(
        precision,
        f"{figures['file_bytes'] / MEBIBYTE:.1f}",
        f"{figures['prefill_seconds'] * 1e3:.1f}",
        *(f"{figures[f'batch_{size}_tokens_per_second']:.1f}" for size in BATCHES),
        f"{figures['first_token_seconds']:.2f}",
        f"{figures['peak_memory_bytes'] / MEBIBYTE:.0f}",
    )


def _line(first: str, *others: str) -> str:
    return f"{first:>9}" + "".join(f"{text:>12}" for text in others)
