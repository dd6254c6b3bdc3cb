"""Penalties, constraints, filters and beam search give what transformers' own give, token by token."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import transformers
from transformers.generation import logits_process as theirs

from kerasgpt.config import GPT2Config
from kerasgpt.generation.beam_search import beam_search
from kerasgpt.generation.decode import decode
from kerasgpt.generation.processors import process
from kerasgpt.generation.texts import Text, pad_right
from kerasgpt.generation_config import GenerationConfig

SIZE, CONTEXT, END = 24, 64, 5
PROMPTS = [[1, 2, 3], [7, 7, 7, 7, 9, 9, 2, 0], [4, 11], [20, 21, 22, 23, 20, 21]]
WORDS = [[3], [9, 2], [20, 21, 22]]
PROCESSORS = {
    "repetition_penalty": ([0.7, 1.3, 5.0], theirs.RepetitionPenaltyLogitsProcessor),
    "no_repeat_ngram_size": ([1, 2, 3], theirs.NoRepeatNGramLogitsProcessor),
    "temperature": ([0.3, 1.7], theirs.TemperatureLogitsWarper),
    "top_k": ([1, 5, SIZE], theirs.TopKLogitsWarper),
    "top_p": ([0.1, 0.5, 0.95], theirs.TopPLogitsWarper),
    "min_p": ([0.01, 0.2, 0.9], theirs.MinPLogitsWarper),
    "typical_p": ([0.1, 0.5, 0.95], theirs.TypicalLogitsWarper),
    "bad_words_ids": ([WORDS], theirs.NoBadWordsLogitsProcessor),
    "logit_bias": ([{3: 1.5, 9: -2.0}], lambda bias: theirs.SequenceBiasLogitsProcessor(as_sequences(bias))),
    "min_length": ([6, 20], lambda length: theirs.MinLengthLogitsProcessor(length, END)),
    "min_new_tokens": (
        [4, 9],
        lambda count: theirs.MinNewTokensLengthLogitsProcessor(NUM_PROMPT_TOKENS, count, END),
    ),
}
FILTERS = ("top_k", "top_p", "min_p", "typical_p")
NUM_PROMPT_TOKENS = 3


def as_sequences(bias: dict[int, float]) -> dict[tuple[int], float]:
    """A bias of single tokens, as transformers wants it."""
    return {(index,): value for index, value in bias.items()}


def problems() -> list[str]:
    """What differs, in a sentence each; prints how much was compared."""
    found = [*processor_problems(), *generate_problems()]
    print(
        f"       {sum(len(values) for values, _ in PROCESSORS.values())} processors and"
        f" {len(SEARCHES)} ways to generate compared with transformers': {len(found)} differ"
    )
    return found


def processor_problems() -> Iterator[str]:
    """Each processor by itself on the same logits, after the same texts."""
    generator = np.random.default_rng(0)
    for name, (values, make) in PROCESSORS.items():
        for value, length in itertools.product(values, (4, 7, 40)):
            logits = generator.normal(0, 2, (16, SIZE)).astype(np.float32)
            ids = generator.integers(0, SIZE, (16, length))
            ids[:8] %= 4  # few tokens, so that all is repeated
            ids[8:10, -3:] = WORDS[2]
            ids[9:11, -1] = WORDS[1][0]
            settings = GenerationConfig(**{"temperature": 1.0 if name in FILTERS else 0.0, name: value})
            ours = process(logits, settings, [Text(row, NUM_PROMPT_TOKENS) for row in ids], END)
            expected = make(value)(torch.tensor(ids), torch.tensor(logits)).numpy()
            if not np.array_equal(np.isinf(ours), np.isinf(expected)):
                yield f"{name} {value}: other tokens are removed"
            elif not np.allclose(ours, expected, rtol=1e-6, atol=1e-6):
                yield f"{name} {value}: logits differ"


BASIC = GenerationConfig(max_new_tokens=20)
PENALTIES: list[dict] = [
    {},
    {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3},
    {"min_new_tokens": 8, "bad_words_ids": WORDS},
    {"min_length": 12, "logit_bias": {END: 1.0, 3: -1.0}, "repetition_penalty": 0.9},
    {"allowed_token_ids": (1, 2, END, 9, 11, 20), "no_repeat_ngram_size": 2},
]
BEAMS: list[dict] = [
    {"num_beams": count, "early_stopping": early, "length_penalty": penalty, "num_return_sequences": returned}
    for count, returned in ((2, 1), (4, 4))
    for early in (False, True, "never")
    for penalty in (-0.5, 0.0, 1.0, 2.0)
]
SEARCHES = [
    replace(BASIC, **penalty, **beams) for penalty, beams in itertools.product(PENALTIES, [{}, *BEAMS])
]


class TorchStepModel:
    """transformers' model as an engine: each step reads the whole texts again."""

    vocabulary_size, max_sequence_length = SIZE, CONTEXT

    def __init__(self, model: transformers.GPT2LMHeadModel) -> None:
        self.model = model

    def prefill(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        texts = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
        return texts, self.logits(texts)

    def step(self, state: list[list[int]], ids: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        texts = [[*text, index] for text, index in zip(state, ids.tolist(), strict=True)]
        return texts, self.logits(texts)

    def reorder(self, state: list[list[int]], indices: np.ndarray) -> list[list[int]]:
        return [state[index] for index in indices.tolist()]

    def logits(self, texts: list[list[int]]) -> np.ndarray:
        ids, lengths = pad_right(texts)
        with torch.no_grad():
            logits = self.model(torch.tensor(ids)).logits.numpy()
        return logits[np.arange(len(texts)), lengths - 1]


def generate_problems() -> Iterator[str]:
    """The ids of whole texts: ours all prompts in one batch, transformers' one by one."""
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": CONTEXT, "vocab_size": SIZE}
    torch.manual_seed(0)
    config = transformers.GPT2Config(**shape, initializer_range=0.6, bos_token_id=END, eos_token_id=END)
    model = transformers.GPT2LMHeadModel(config).eval()
    for settings in SEARCHES:
        expected = [text for prompt in PROMPTS for text in transformers_ids(model, prompt, settings)]
        if our_ids(TorchStepModel(model), settings) != expected:
            yield f"{settings.changes()}: other ids than transformers'"


def our_ids(model: TorchStepModel, settings: GenerationConfig) -> list[list[int]]:
    """Continuations of all prompts."""
    if settings.num_beams > 1:
        found = beam_search(model, PROMPTS, settings, END)
        return [beam.ids for beams in found for beam in beams[: settings.num_return_sequences]]
    rows: list[list[int]] = [[] for _ in PROMPTS]
    for step in decode(model, PROMPTS, settings, END):
        for token in step:
            rows[token.row].append(token.id)
    return rows


def transformers_ids(
    model: transformers.GPT2LMHeadModel, prompt: list[int], settings: GenerationConfig
) -> list[list[int]]:
    """Continuations of one prompt by the settings in transformers' own form, cut after end of text."""
    ours = GPT2Config(SIZE, CONTEXT, bos_token_id=END, eos_token_id=END)
    allowed = list(settings.allowed_token_ids) or list(range(SIZE))
    ids = torch.tensor([prompt])
    written = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        generation_config=transformers.GenerationConfig(**settings.to_huggingface(ours)),
        prefix_allowed_tokens_fn=lambda _, text: allowed,
    )
    rows = [row[len(prompt) :] for row in written.tolist()]
    return [row[: row.index(END) + 1] if END in row else row for row in rows]
