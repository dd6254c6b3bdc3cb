"""transformers reads an exported folder and answers as the trained model; and our decoding is as its own."""

from __future__ import annotations

import sys

import hf_generate
import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from kerasgpt import artifacts
from kerasgpt.export.parity import compare_ids, logit_error, tolerance_of
from kerasgpt.export.reference import Reference
from kerasgpt.tokenizer.bpe import Tokenizer

TEXTS = ["", " ", "ROMEO:\n\nI am  here.", "naïve 北京 🙂 don't 12345", "a<|endoftext|>b", "\t\r\n x"]


def main(bundle: str) -> int:
    """Compare tokens, logits and greedy ids with what the bundle recorded of the Keras model."""
    model = AutoModelForCausalLM.from_pretrained(bundle).eval()
    theirs, ours = AutoTokenizer.from_pretrained(bundle), Tokenizer.from_preset(bundle)
    reference = Reference.load(f"{bundle}/{artifacts.PARITY}")
    problems = token_problems(ours, theirs) + setting_problems(ours, theirs, model)
    error = logit_error(all_logits(model, reference), reference)
    tolerance = tolerance_of("fp32", reference)
    if not error <= tolerance:
        problems.append(f"a logit differs by {error:.3g}")
    compared = 0
    for row in range(len(reference.prompts)):
        count, _, problem = compare_ids(reference, row, greedy_ids(model, reference, row), tolerance)
        compared += count
        problems += [f"prompt {row}: {problem}"] if problem else []
    print(
        f"       transformers {transformers.__version__}: logits within {error:.1e}, {compared} greedy tokens"
        f" equal, {len(TEXTS)} texts tokenized alike"
    )
    problems += hf_generate.problems()
    for problem in problems:
        print(f"hf_transformers: {problem}", file=sys.stderr)
    return int(bool(problems))


def all_logits(model: torch.nn.Module, reference: Reference) -> np.ndarray:
    """Logits at every position of the recorded texts, (B, S, V)."""
    mask = torch.tensor(reference.read.astype(np.int64))
    with torch.no_grad():
        return model(input_ids=torch.tensor(reference.ids), attention_mask=mask).logits.numpy()


def greedy_ids(model: torch.nn.Module, reference: Reference, row: int) -> list[int]:
    """What transformers' own generate writes after a recorded prompt."""
    start = int(reference.prompt_lengths[row])
    prompt = torch.tensor(reference.ids[row : row + 1, :start])
    limit = len(reference.continuations[row])
    ids = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=limit, do_sample=False
    )
    return ids[0, start:].tolist()


def token_problems(ours: Tokenizer, theirs: transformers.PreTrainedTokenizerBase) -> list[str]:
    """Texts whose ids, or the text back from them, differ; a marker in the text is read as text."""
    problems = []
    for text in TEXTS:
        ids = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if ids != ours.encode(text):
            problems.append(f"{text!r} has ids {ids}, ours are {ours.encode(text)}")
        back = theirs.decode(ids, clean_up_tokenization_spaces=False)
        if back != text:
            problems.append(f"{text!r} comes back as {back!r}")
    return problems


def setting_problems(
    ours: Tokenizer, theirs: transformers.PreTrainedTokenizerBase, model: torch.nn.Module
) -> list[str]:
    """Settings that would make transformers write otherwise."""
    end = ours.end_of_text_id
    found = {
        "the tokenizer's eos": (theirs.eos_token_id, end),
        "the model's eos": (model.generation_config.eos_token_id, end),
        "the tokenizer's size": (len(theirs), ours.vocabulary_size),
        "the tokenizer's context": (theirs.model_max_length, model.config.n_positions),
    }
    return [f"{name} is {value}, not {right}" for name, (value, right) in found.items() if value != right]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
