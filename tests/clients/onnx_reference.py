"""onnx checks a bundle's portable files in full, and its reference evaluator answers as was recorded."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from kerasgpt import artifacts
from kerasgpt.export.parity import compare_step_model
from kerasgpt.export.reference import Reference
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.protocols import Ids, Logits
from kerasgpt.tokenizer.bpe import Tokenizer

STANDARD = {artifacts.ONNX_MODEL: "fp32", artifacts.ONNX_HALF: "fp16"}  # whose operators onnx can run
PORTABLE = (*STANDARD, artifacts.ONNX_INT8, artifacts.ONNX_INT4)
BLOCKS = {"com.microsoft.MatMulNBits"}
OPERATORS = {"model_quantized.onnx": BLOCKS, "model_q4.onnx": BLOCKS}  # allowed beyond the standard

State: TypeAlias = tuple[dict[str, np.ndarray], Ids, Ids]  # caches, mask (B, S), lengths (B,)


class EvaluatedModel:
    """A file of a bundle as a StepModel that onnx's own definitions of its operators compute."""

    def __init__(self, bundle: Path, name: str) -> None:
        self.evaluator = ReferenceEvaluator(str(bundle / name))
        config = artifacts.read_config(bundle)
        self.vocabulary_size, self.max_sequence_length = config.vocabulary_size, config.max_sequence_length
        self.empty = (config.num_heads, 0, config.head_dim)
        self.pasts = [name for name in self.evaluator.input_names if name.startswith("past_key_values.")]

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[State, Logits]:
        logits, caches, mask = self._read(ids, lengths)
        return (caches, mask, lengths), logits[np.arange(len(ids)), lengths - 1]

    def step(self, state: State, ids: Ids) -> tuple[State, Logits]:
        caches, mask, lengths = state
        mask = np.pad(mask, ((0, 0), (0, 1)), constant_values=1)
        logits, caches = self._run(ids[:, None], mask, lengths[:, None], caches)
        return (caches, mask, lengths + 1), logits[:, 0]

    def reorder(self, state: State, indices: Ids) -> State:
        caches, mask, lengths = state
        return {name: cache[indices] for name, cache in caches.items()}, mask[indices], lengths[indices]

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        return self._read(ids, lengths)[0]

    def _read(self, ids: Ids, lengths: Ids) -> tuple[Logits, dict[str, np.ndarray], Ids]:
        positions = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        mask = (positions < lengths[:, None]).astype(np.int64)
        nothing = dict.fromkeys(self.pasts, np.zeros((len(ids), *self.empty), np.float32))
        return *self._run(ids, mask, positions, nothing), mask

    def _run(
        self, ids: Ids, mask: Ids, positions: Ids, caches: dict[str, np.ndarray]
    ) -> tuple[Logits, dict[str, np.ndarray]]:
        feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **caches}
        presents = [name.replace("past_key_values", "present") for name in self.pasts]
        logits, *found = self.evaluator.run(["logits", *presents], feeds)
        return logits, dict(zip(self.pasts, found, strict=True))


def main(bundle: str) -> int:
    """Check the files, then let onnx compute those whose operators are all standard."""
    problems = [problem for name in PORTABLE for problem in graph_problems(Path(bundle) / name)]
    for name, precision in STANDARD.items():
        problems += answer_problems(Path(bundle), name, precision)
    for problem in problems:
        print(f"onnx_reference: {problem}", file=sys.stderr)
    return int(bool(problems))


def graph_problems(path: Path) -> list[str]:
    """What onnx's checker and our own promises find wrong with a file."""
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return [f"{path.name}: {error}"]
    model = onnx.load(path, load_external_data=False)
    operators = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in model.graph.node)
    own = {name for name in operators if "." in name}
    most = 30 + 30 * sum(value.name.endswith(".key") for value in model.graph.input)
    print(
        f"       onnx {onnx.__version__}, {path.name}: checked in full, {operators.total()} nodes of {most}"
        f" allowed, {', '.join(sorted(own)) or 'standard operators alone'}"
    )
    found = {
        f"has {operators.total()} nodes, allowed are {most}": operators.total() > most,
        f"needs {', '.join(sorted(own))}": not own <= OPERATORS.get(path.name, set()),
        "has functions of its own": bool(model.functions),
        "has a Loop, Scan or If": bool(operators.keys() & {"Loop", "Scan", "If"}),
    }
    return [f"{path.name} {what}" for what, is_so in found.items() if is_so]


def answer_problems(bundle: Path, name: str, precision: str) -> list[str]:
    """Where the evaluator's logits and greedy ids, with the cache and without, are not those recorded."""
    reference = Reference.load(bundle / artifacts.PARITY)
    model, tokenizer = EvaluatedModel(bundle, name), Tokenizer.from_preset(bundle)
    lm = StepLanguageModel(model, tokenizer, reference.settings)
    parity = compare_step_model(lm, reference, precision=precision)
    print(
        f"       its evaluator, {Path(name).name}: {parity.num_tokens_compared} greedy tokens equal,"
        f" {parity.num_near_ties} near ties, logits within {parity.max_logit_error:.1e},"
        f" with the cache {parity.max_cached_logit_error:.1e}"
    )
    return [f"{name}: {problem}" for problem in parity.problems]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
