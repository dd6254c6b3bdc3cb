"""What transformers.js is asked about bundles, and its answers compared with what those recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgpt import artifacts
from kerasgpt.export.parity import compare_ids, tolerance_of
from kerasgpt.export.reference import Reference

PROMPTS = (1, 2, 4)  # recorded ones that are asked as texts, too; nothing follows an empty text there
LEAST_EQUAL = 0.5  # of the tokens: a near tie ends the comparison of its row

# A file -> what the bundle recorded for it, and whose tolerance bounds the arithmetic. Of a file of integers
# the answers are those of its rounded weights: what remains is that activations are rounded, to 8 bits.
FILES = {
    "model.onnx": (artifacts.PARITY, "fp32"),
    "model_fp16.onnx": (artifacts.PARITY, "fp16"),
    "model_quantized.onnx": ("parity_onnx_int8.npz", "fp16"),
    "model_q4.onnx": ("parity_onnx_int4.npz", "fp16"),
}

Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Model:
    """One file of a bundle.

    Attributes:
        bundle: its folder.
        dtype: what transformers.js calls the file; "" leaves the choice to it.
        file: the name of the file that it has to read.
    """

    bundle: Path
    dtype: str
    file: str

    def requests(self, reference: Reference) -> Iterator[dict[str, Any]]:
        """Each recorded prompt by itself, all of them in a batch, and some as texts."""
        limit = reference.settings.max_new_tokens
        asked = {"folder": self.bundle.name, "dtype": self.dtype, "limit": limit}
        ends = zip(reference.ids, reference.prompt_lengths, strict=True)
        prompts = [row[:end].tolist() for row, end in ends]
        yield from ({**asked, "batch": [prompt]} for prompt in prompts)
        yield {**asked, "batch": prompts}
        yield {**asked, "prompts": [reference.prompts[row] for row in PROMPTS]}


def external(bundle: Path) -> Path:
    """The bundle that make_bundle.py has written with the weights beside their file."""
    return bundle.with_name(f"{bundle.name}-external")


def problems(models: Sequence[Model], ask: Ask) -> list[str]:
    """Ask all at once, compare, and print what is equal; what differs comes in a sentence each."""
    references = [Reference.load(model.bundle / FILES[model.file][0]) for model in models]
    requests = [list(model.requests(reference)) for model, reference in zip(models, references, strict=True)]
    answers = iter(ask([request for some in requests for request in some]))
    found = []
    for model, reference, some in zip(models, references, requests, strict=True):
        found += compare(model, reference, [next(answers) for _ in some])
    return found


def compare(model: Model, reference: Reference, answers: list[dict[str, Any]]) -> list[str]:
    """One model's answers to its requests."""
    *alone, together, texts = answers
    arithmetic = FILES[model.file][1]
    name = f"{model.bundle.name}/onnx/{model.file}"
    rows = [*(answer["ids"][0] for answer in alone), *together["ids"]]
    equal, ties, found = compare_rows(reference, rows, tolerance_of(arithmetic, reference))
    expected = [reference.texts[row] for row in PROMPTS]
    if arithmetic == "fp32" and texts["texts"] != expected:
        found.append(f"its pipeline writes {texts['texts']}, not {expected}")
    wanted = 2 * sum(map(len, reference.continuations))
    if equal < LEAST_EQUAL * wanted:
        found.append(f"only {equal} of {wanted} greedy tokens are equal, {ties} rows part at a near tie")
    seconds = sum(answer["milliseconds"] for answer in answers) / 1000
    print(
        f"       {name} as {model.dtype or 'its own choice'}: {equal} greedy tokens equal, {ties} near ties,"
        f" alone and padded on the left, in {seconds:.1f} s"
    )
    return [f"{name}: {problem}" for problem in found]


def compare_rows(
    reference: Reference, rows: Iterable[list[int]], tolerance: float
) -> tuple[int, int, list[str]]:
    """All prompts by themselves, then all in a batch: tokens that are equal, near ties, and problems."""
    equal = ties = 0
    found = []
    for number, ids in enumerate(rows):
        row, in_batch = number % len(reference.ids), number >= len(reference.ids)
        written = ids[: len(reference.continuations[row])]  # a row that ends before the others is filled up
        count, tied, problem = compare_ids(reference, row, written, tolerance)
        equal, ties = equal + count, ties + tied
        if problem:
            found.append(f"prompt {row} {'in a batch' if in_batch else 'alone'}: {problem}")
    return equal, ties, found
