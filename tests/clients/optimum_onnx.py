"""optimum's ORTModelForCausalLM runs a bundle's onnx/model.onnx: greedy ids alone and in a padded batch."""

from __future__ import annotations

import sys
from pathlib import Path

import optimum.version
import torch
import transformers
from optimum.onnxruntime import ORTModelForCausalLM

from kerasgpt import artifacts
from kerasgpt.export.parity import compare_ids, tolerance_of
from kerasgpt.export.reference import Reference

BATCH = [1, 2, 4]  # recorded prompts of different lengths


def main(bundle: str) -> int:
    """Compare what optimum writes with what the bundle recorded of the Keras model."""
    reference = Reference.load(Path(bundle) / artifacts.PARITY)
    model = ORTModelForCausalLM.from_pretrained(bundle, subfolder="onnx", file_name="model.onnx")
    written = {f"prompt {row} alone": (row, generate(model, reference, [row])[0]) for row in BATCH}
    rows = generate(model, reference, BATCH)
    written |= {f"prompt {row} in a batch": (row, ids) for row, ids in zip(BATCH, rows, strict=True)}
    problems, compared = [], 0
    for how, (row, ids) in written.items():
        count, _, problem = compare_ids(reference, row, ids, tolerance_of("fp32", reference))
        compared += count
        problems += [f"{how}: {problem}"] if problem else []
    print(
        f"       optimum {optimum.version.__version__}, transformers {transformers.__version__}: {compared}"
        " greedy tokens equal, alone and padded on the left"
    )
    for problem in problems:
        print(f"optimum_onnx: {problem}", file=sys.stderr)
    return int(bool(problems))


def generate(model: ORTModelForCausalLM, reference: Reference, rows: list[int]) -> list[list[int]]:
    """The greedy ids after recorded prompts."""
    prompts = [reference.ids[row, : reference.prompt_lengths[row]].tolist() for row in rows]
    width = max(map(len, prompts))
    pad = model.generation_config.eos_token_id
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    limit = max(len(reference.continuations[row]) for row in rows)
    found = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=limit, do_sample=False, pad_token_id=pad
    )
    pairs = zip(found.tolist(), rows, strict=True)
    return [answer[width:][: len(reference.continuations[row])] for answer, row in pairs]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
