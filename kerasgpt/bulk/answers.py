"""Records -> answers, by a language model: read in batches of about equal length, each bad record apart."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kerasgpt.bulk.records import Record, Rejected, Task
from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.prompts import PromptTruncatedWarning
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Generation, LanguageModel, Score
from kerasgpt.tasks.asking import fitted_prompts
from kerasgpt.tasks.templates import TaskTemplate


class EngineFailedError(KerasGPTError):
    """The engine answers nothing any more, so that no record is to blame."""


@dataclass(frozen=True)
class Answer:
    """What a model says to a record.

    Attributes:
        record: that was asked.
        results: its continuations, or its one score.
        num_read_tokens: tokens that the record has, those included that did not fit into the context; in a
            template, those of the prompt that was made to fit.
        is_truncated: whether some did not fit.
    """

    record: Record
    results: tuple[Generation | Score, ...]
    num_read_tokens: int
    is_truncated: bool

    @property
    def id(self) -> str:
        """Of the record."""
        return self.record.id

    @property
    def index(self) -> int:
        """Of the record."""
        return self.record.index

    @property
    def num_answered_tokens(self) -> int:
        """Tokens written, or scored."""
        return sum(
            each.num_tokens if isinstance(each, Score) else len(each.token_ids) for each in self.results
        )

    def rows(self) -> list[dict[str, Any]]:
        """The lines of the output: those of ``generate --json`` or ``score``, an id before."""
        task: Task = "score" if isinstance(self.results[0], Score) else "generate"
        asked = {"id": self.id, **self.record.strings(task)}
        several = len(self.results) > 1
        return [
            {**asked, **({"sample": number} if several else {}), **dataclasses.asdict(result)}
            for number, result in enumerate(self.results)
        ]


class _Asked(NamedTuple):
    """A record as the model reads it: its prompt in the template, and whether that shortened it."""

    record: Record
    prompt: str
    num_tokens: int
    was_shortened: bool


class Answerer:
    """Asks a language model about records; no answer depends on how many are asked together.

    Args:
        lm: the model.
        task: what to ask.
        settings: of generation.
        batch_size: records read together, at most.
        template: what prompts are put into; None means that they are taken as they are.

    Raises:
        KerasGPTError: the model cannot do what the task or the settings want.
    """

    def __init__(
        self,
        lm: LanguageModel,
        task: Task = "generate",
        settings: GenerationConfig | None = None,
        batch_size: int = 32,
        template: TaskTemplate | None = None,
    ) -> None:
        self._lm = lm
        self._task = task
        self._settings = settings or GenerationConfig()
        self._batch_size = batch_size
        self._template = template
        self._probe()

    def answers(self, records: Sequence[Record]) -> list[Answer | Rejected]:
        """Answer records, each at its place.

        Which are read together follows from these records alone, so that the same ones are rounded alike.

        Raises:
            EngineFailedError: the engine answers nothing any more.
        """
        found: dict[int, Answer | Rejected] = {}
        asked: dict[int, _Asked] = {}
        for place, record in enumerate(records):
            try:
                asked[place] = self._asked(record)
            except KerasGPTError as error:  # what does not suit or fit the template
                found[place] = self._rejected(record, str(error))
        order = sorted(asked, key=lambda place: (-asked[place].num_tokens, place))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptTruncatedWarning)  # thousands of them; they are counted
            for start in range(0, len(order), self._batch_size):
                batch = order[start : start + self._batch_size]
                found.update(zip(batch, self._answer_all([asked[place] for place in batch]), strict=True))
        return [found[place] for place in range(len(records))]

    def _asked(self, record: Record) -> _Asked:
        prompt, was_shortened = record.prompt, False
        if self._template is not None:
            inputs = [self._template.parse(prompt)]
            room = self._settings.max_new_tokens
            ((prompt, was_shortened),) = fitted_prompts(self._lm, self._template, inputs, room)
        texts = {**record.strings(self._task), "prompt": prompt}.values()
        num_tokens = sum(len(self._lm.tokenizer.encode(text)) for text in texts)
        return _Asked(record, prompt, num_tokens, was_shortened)

    def _answer_all(self, batch: Sequence[_Asked]) -> list[Answer | Rejected]:
        """Answer a batch; where it fails twice, its records one by one."""
        for _ in range(2):  # a fault may pass, and the same batch is rounded alike
            try:
                return [*self._ask(batch)]
            except Exception as error:
                failure = error
        if len(batch) > 1:
            return [self._answer_all([asked])[0] for asked in batch]
        return [self._reject(batch[0].record, failure)]

    def _ask(self, batch: Sequence[_Asked]) -> list[Answer]:
        results = self._generations(batch) if self._task == "generate" else self._scores(batch)
        return [
            Answer(asked.record, each, asked.num_tokens, self._is_cut(each, asked))
            for asked, each in zip(batch, results, strict=True)
        ]

    def _is_cut(self, results: tuple[Generation | Score, ...], asked: _Asked) -> bool:
        first = results[0]
        if isinstance(first, Score):  # the last token is scored, but never read
            return asked.num_tokens > self._lm.max_sequence_length + 1
        return asked.was_shortened or asked.num_tokens > first.num_prompt_tokens

    def _generations(self, batch: Sequence[_Asked]) -> list[tuple[Generation | Score, ...]]:
        count = self._settings.num_return_sequences
        settings = [self._own(asked.record, place) for place, asked in enumerate(batch)]
        written = self._lm.generate([asked.prompt for asked in batch], settings)
        return [tuple(written[n : n + count]) for n in range(0, len(written), count)]

    def _own(self, record: Record, place: int) -> GenerationConfig:
        """A record's settings at a place of a batch: those that it has in one call with all records.

        There continuation i draws from row seed ``seed + i``, and here from that of its own settings + its
        place.
        """
        settings = self._settings
        if settings.is_greedy:  # draws nothing; and searches of equal settings are made together
            return settings
        ahead = (record.index - place) * settings.num_return_sequences
        return dataclasses.replace(settings, seed=settings.seed + ahead)

    def _scores(self, batch: Sequence[_Asked]) -> list[tuple[Generation | Score, ...]]:
        prompts = [asked.prompt for asked in batch]
        scores = self._lm.score(prompts, [asked.record.continuation for asked in batch])
        return [(score,) for score in scores]

    def _reject(self, record: Record, failure: Exception) -> Rejected:
        """Blame a record, unless the engine itself has failed."""
        if isinstance(failure, KerasGPTError):
            reason = str(failure)
        else:
            reason = f"{type(failure).__name__}: {next(iter(str(failure).splitlines()), '')}"
            try:
                self._probe()
            except Exception as error:
                raise EngineFailedError(f"the engine answers nothing since {record.id} ({reason})") from error
        return self._rejected(record, reason)

    def _rejected(self, record: Record, reason: str) -> Rejected:
        return Rejected(record.id, record.index, reason, record.strings(self._task))

    def _probe(self) -> None:
        """Ask what every engine answers that can do the task and the settings."""
        if self._task == "score":
            self._lm.score(["a"], ["a"])
        else:
            self._lm.generate(["a"], dataclasses.replace(self._settings, max_new_tokens=1))
