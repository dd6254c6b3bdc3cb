"""Few shots: a task that a model is told by examples in its prompt (Brown et al. 2020, arXiv:2005.14165)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.base import Counts, Figures, Outcome
from kerasgpt.tasks.files.labelled import Labelled, read_labelled
from kerasgpt.tasks.pairs import Pair, encode_pair, score_pairs
from kerasgpt.tasks.shots import ShotPool, ShotPrompt, ShotTemplate, fitted_prompt

CONTENT_FREE = ("N/A", "[MASK]", "")
"""Inputs that say nothing; what a model answers to them is its bias (Zhao et al. 2021, arXiv:2102.09690)."""

METHODS = ("auto", "rank", "generate")


@dataclass(frozen=True)
class ShotQuestion:
    """What is asked, what is shown before it, and what there is to choose from; nothing: it is written."""

    asked: Labelled
    shots: tuple[Labelled, ...]
    choices: tuple[str, ...]
    template: ShotTemplate
    number: int

    @property
    def place(self) -> str:
        """Where it was read."""
        return self.asked.place

    def prompt(self, task: FewShot, lm: LanguageModel, asked: str) -> ShotPrompt | None:
        """The prompt for an input, with room for the answer."""
        lengths = [len(lm.tokenizer.encode(self.template.answer(choice))) for choice in self.choices]
        most = lm.max_sequence_length - max(lengths or [task.written(self.template).max_new_tokens])
        return fitted_prompt(lm.tokenizer, self.template, task.instruction, self.shots, asked, most)


@dataclass(frozen=True)
class FewShot:
    """How often a model answers as examples in the prompt suggest; see `kerasgpt.tasks.base.Task`.

    Args:
        shots: examples before each question, drawn for it; where the outputs are few, balanced by them.
        seed: of the drawing.
        template: of an example, with ``{input}`` and ``{output}``; None means one that suits the file.
        instruction: that a prompt begins with.
        pool: files to draw shots from; none means those that are asked, without the question itself.
        method: ``"rank"``: the most probable of the outputs is the answer. ``"generate"``: the answer is
            written, to the end of its line, and must be right to the letter. ``"auto"``: ranked if there are
            no more than `candidates` outputs.
        candidates: outputs that are ranked, at most: the right one, and others drawn by the seed.
        calibrate: whether to also say how often the answer is right once each output's probability is divided
            by what it is after inputs that say nothing (contextual calibration, Zhao et al. 2021).
        settings: of writing; None means greedy, 16 tokens, to the end of the line. `echo` and
            `num_return_sequences` have no say.

    Raises:
        UsageError: one of these is out of range.
    """

    shots: int = 0
    seed: int = 0
    template: str | None = None
    instruction: str = ""
    pool: tuple[str, ...] = ()
    method: Literal["auto", "rank", "generate"] = "auto"
    candidates: int = 20
    calibrate: bool = False
    settings: GenerationConfig | None = None

    name = "few_shot"

    def __post_init__(self) -> None:
        for name in ("shots", "seed"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        if self.method not in METHODS:
            raise unknown_name("method", self.method, METHODS)
        if self.candidates < 2:
            raise UsageError(f"candidates is {self.candidates}: it must be 2 or more")
        if self.calibrate and self.method == "generate":
            raise UsageError("calibrate: only ranked answers can be calibrated; drop it, or method generate")
        if self.template is not None:
            ShotTemplate(self.template)

    def read(self, paths: Sequence[str | Path], lm: LanguageModel) -> list[ShotQuestion]:
        """Read questions, in an order drawn by the seed, so that the first few of them are any few."""
        if not paths:
            raise UsageError("few_shot: no file of examples; give one or more")
        read = [read_labelled(path) for path in paths]
        questions = [each for found, _ in read for each in found]
        pool = [each for path in self.pool for each in read_labelled(path)[0]] or questions
        template = ShotTemplate(self.template or read[0][1])
        outputs = sorted({each.outputs[0] for each in [*questions, *pool]})
        is_ranked = self._is_ranked(len(outputs))
        labels = outputs if len(outputs) <= self.candidates else []
        if self.pool:
            _check_labels(questions, pool, labels)
        drawn = ShotPool(pool, labels, self.seed)
        order = np.random.default_rng(self.seed).permutation(len(questions)).tolist()
        return [
            ShotQuestion(
                questions[number],
                drawn.draw(self.shots, questions[number], number),
                self._choices(outputs, questions[number], number) if is_ranked else (),
                template,
                number,
            )
            for number in order
        ]

    def size(self, example: ShotQuestion) -> int:
        """Characters of the prompt."""
        shown = sum(len(each.input) + len(each.outputs[0]) for each in example.shots)
        return shown + len(example.asked.input)

    def answer(self, lm: LanguageModel, examples: Sequence[ShotQuestion]) -> list[Outcome]:
        """Rank the answers of each question, or write them."""
        prompts = [each.prompt(self, lm, each.asked.input) for each in examples]
        fit = [(each, prompt) for each, prompt in zip(examples, prompts, strict=True) if prompt]
        answers = iter(self._ranked(lm, fit) if examples[0].choices else self._written(lm, fit))
        return [
            Outcome({**_shown(prompt), **counts}, {"gold": list(each.asked.outputs), **details})
            for each, prompt in zip(examples, prompts, strict=True)
            for counts, details in [next(answers) if prompt else ({}, {"prediction": None})]
        ]

    def metrics(self, counts: Counts) -> Figures:
        """Shares of right answers; a question that does not fit is not answered, which is wrong."""
        names = ["acc", *(["acc_calibrated"] if self.calibrate else [])]
        figures = {name: counts.get(name, 0) / counts["examples"] for name in names}
        numbers = ("shortened_prompts", "dropped_shots", "unanswered")
        return {**figures, **{f"num_{name}": counts[name] for name in numbers}}

    def baselines(self, examples: Sequence[ShotQuestion]) -> Mapping[str, Sequence[Outcome]]:
        """What the most frequent answer comes to, guessing among choices, or copying the input."""
        ((frequent, _),) = Counter(each.asked.outputs[0] for each in examples).most_common(1)
        found = {"majority": [_judged(frequent, each) for each in examples]}
        if examples[0].choices:
            found["random"] = [_constant(_share_of_right(each)) for each in examples]
        else:
            found["copy"] = [_judged(each.asked.input, each) for each in examples]
        return found

    @property
    def writing(self) -> GenerationConfig:
        """How answers are written, but for what ends them."""
        if self.settings is None:
            return GenerationConfig(max_new_tokens=16)
        return dataclasses.replace(self.settings, echo=False, num_return_sequences=1)

    def written(self, template: ShotTemplate) -> GenerationConfig:
        """How answers to this template are written."""
        own = self.writing
        return own if own.stop else dataclasses.replace(own, stop=(template.stop,))

    def _is_ranked(self, num_outputs: int) -> bool:
        ranked = self.method == "rank" or (self.method == "auto" and num_outputs <= self.candidates)
        if ranked and num_outputs < 2:
            raise UsageError("few_shot: all outputs are the same, so there is nothing to rank; use generate")
        if self.calibrate and not ranked:
            raise UsageError(
                f"calibrate: the {num_outputs} outputs are more than {self.candidates} candidates, so that"
                " the answer is written; set method to rank"
            )
        return ranked

    def _choices(self, outputs: Sequence[str], asked: Labelled, number: int) -> tuple[str, ...]:
        if len(outputs) <= self.candidates:
            return tuple(outputs)
        others = [each for each in outputs if each not in asked.outputs]
        drawn = np.random.default_rng([self.seed, number, 1]).permutation(len(others))
        return tuple(sorted([asked.outputs[0], *(others[i] for i in drawn[: self.candidates - 1])]))

    def _ranked(
        self, lm: LanguageModel, asked: Sequence[tuple[ShotQuestion, ShotPrompt]]
    ) -> list[tuple[Counts, dict[str, object]]]:
        pairs = [pair for each, prompt in asked for pair in _pairs(lm, each, prompt.text)]
        scores = iter(score_pairs(lm, pairs))
        found = [np.array([next(scores).logprob for _ in each.choices]) for each, _ in asked]
        biases = self._biases(lm, [each for each, _ in asked]) if self.calibrate else [None] * len(asked)
        return [
            _verdict(each, logprobs, bias)
            for (each, _), logprobs, bias in zip(asked, found, biases, strict=True)
        ]

    def _biases(self, lm: LanguageModel, asked: Sequence[ShotQuestion]) -> list[NDArray[np.float64]]:
        """Log-probabilities of the outputs after the same shots and an input that says nothing, its mean."""
        prompts = [[each.prompt(self, lm, free) for free in CONTENT_FREE] for each in asked]
        pairs = [
            pair
            for each, frees in zip(asked, prompts, strict=True)
            for free in frees
            for pair in _pairs(lm, each, free.text if free else "")
        ]
        scores = iter(score_pairs(lm, pairs))
        biases = []
        for each in asked:
            logprobs = np.array([[next(scores).logprob for _ in each.choices] for _ in CONTENT_FREE])
            shares = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
            biases.append(np.log((shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)))
        return biases

    def _written(
        self, lm: LanguageModel, asked: Sequence[tuple[ShotQuestion, ShotPrompt]]
    ) -> list[tuple[Counts, dict[str, object]]]:
        settings = []
        for place, (each, _) in enumerate(asked):  # a text is drawn with its own seed + its place in the call
            own = self.written(each.template)
            settings.append(dataclasses.replace(own, seed=own.seed + each.number - place))
        texts = [prompt.text for _, prompt in asked]
        answers = [written.text.strip() for written in lm.generate(texts, settings)]
        return [
            ({"acc": int(answer in each.asked.outputs)}, {"prediction": answer})
            for (each, _), answer in zip(asked, answers, strict=True)
        ]


def _pairs(lm: LanguageModel, asked: ShotQuestion, prompt: str) -> list[Pair]:
    return [encode_pair(lm, prompt, asked.template.answer(each), asked.place) for each in asked.choices]


def _verdict(
    asked: ShotQuestion, logprobs: NDArray[np.float64], bias: NDArray[np.float64] | None
) -> tuple[Counts, dict[str, object]]:
    best = asked.choices[int(np.argmax(logprobs))]
    counts = {"acc": int(best in asked.asked.outputs)}
    if bias is not None:
        counts["acc_calibrated"] = int(asked.choices[int(np.argmax(logprobs - bias))] in asked.asked.outputs)
    return counts, {"prediction": best, "logprobs": logprobs.tolist()}


def _shown(prompt: ShotPrompt | None) -> Counts:
    dropped = prompt.num_dropped if prompt else 0
    return {
        "examples": 1,
        "dropped_shots": dropped,
        "shortened_prompts": int(dropped > 0),
        "unanswered": int(prompt is None),
    }


def _judged(answer: str, asked: ShotQuestion) -> Outcome:
    return _constant(int(answer in asked.asked.outputs))


def _share_of_right(asked: ShotQuestion) -> float:
    return sum(choice in asked.asked.outputs for choice in asked.choices) / len(asked.choices)


def _constant(value: float) -> Outcome:
    return Outcome({**_shown(ShotPrompt("", 0)), "acc": value, "acc_calibrated": value})


def _check_labels(questions: Sequence[Labelled], pool: Sequence[Labelled], labels: Sequence[str]) -> None:
    known = {each.outputs[0] for each in pool}
    for each in questions if labels else ():
        if each.outputs[0] not in known:
            raise KerasGPTError(
                f"{each.place}: label '{each.outputs[0]}' is none of {', '.join(sorted(known))}, which the"
                " examples to draw from have; mend it, or add examples of it"
            )
