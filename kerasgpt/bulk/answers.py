"""Records -> answers, by a language model: read in batches of about equal length, each bad record apart."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kerasgpt.bulk.records import Record, Rejected, Task
from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.prompts import PromptTruncatedWarning
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Generation, LanguageModel, Score


class EngineFailedError(KerasGPTError):
    """The engine answers nothing any more, so that no record is to blame."""


@dataclass(frozen=True)
class Answer:
    """What a model says to a record.

    Attributes:
        record: that was asked.
        results: its continuations, or its one score.
        num_read_tokens: tokens that the record has, those included that did not fit into the context.
        is_truncated: whether some did not.
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


class Answerer:
    """Asks a language model about records; no answer depends on how many are asked together.

    Args:
        lm: the model.
        task: what to ask.
        settings: of generation.
        batch_size: records read together, at most.

    Raises:
        KerasGPTError: the model cannot do what the task or the settings want.
    """

    def __init__(
        self,
        lm: LanguageModel,
        task: Task = "generate",
        settings: GenerationConfig | None = None,
        batch_size: int = 32,
    ) -> None:
        self._lm = lm
        self._task = task
        self._settings = settings or GenerationConfig()
        self._batch_size = batch_size
        self._probe()

    def answers(self, records: Sequence[Record]) -> list[Answer | Rejected]:
        """Answer records, each at its place.

        Which are read together follows from these records alone, so that the same ones are rounded alike.

        Raises:
            EngineFailedError: the engine answers nothing any more.
        """
        lengths = [self._num_tokens(record) for record in records]
        order = sorted(range(len(records)), key=lambda place: (-lengths[place], place))
        found: dict[int, Answer | Rejected] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptTruncatedWarning)  # thousands of them; they are counted
            for start in range(0, len(order), self._batch_size):
                batch = order[start : start + self._batch_size]
                outcomes = self._answer_all([records[n] for n in batch], [lengths[n] for n in batch])
                found.update(zip(batch, outcomes, strict=True))
        return [found[place] for place in range(len(records))]

    def _num_tokens(self, record: Record) -> int:
        return sum(len(self._lm.tokenizer.encode(text)) for text in record.strings(self._task).values())

    def _answer_all(self, records: Sequence[Record], lengths: Sequence[int]) -> list[Answer | Rejected]:
        """Answer a batch; where it fails twice, its records one by one."""
        for _ in range(2):  # a fault may pass, and the same batch is rounded alike
            try:
                return [*self._ask(records, lengths)]
            except Exception as error:
                failure = error
        if len(records) > 1:
            alone = zip(records, lengths, strict=True)
            return [self._answer_all([record], [length])[0] for record, length in alone]
        return [self._reject(records[0], failure)]

    def _ask(self, records: Sequence[Record], lengths: Sequence[int]) -> list[Answer]:
        results = self._generations(records) if self._task == "generate" else self._scores(records)
        answered = zip(records, results, lengths, strict=True)
        return [Answer(record, each, length, self._is_cut(each, length)) for record, each, length in answered]

    def _is_cut(self, results: tuple[Generation | Score, ...], length: int) -> bool:
        first = results[0]
        if isinstance(first, Score):
            return length > self._lm.max_sequence_length + 1  # the last token is scored, but never read
        return length > first.num_prompt_tokens

    def _generations(self, records: Sequence[Record]) -> list[tuple[Generation | Score, ...]]:
        count = self._settings.num_return_sequences
        texts = [record.prompt for record in records]
        written = self._lm.generate(texts, [self._own(record, n) for n, record in enumerate(records)])
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

    def _scores(self, records: Sequence[Record]) -> list[tuple[Generation | Score, ...]]:
        prompts = [record.prompt for record in records]
        scores = self._lm.score(prompts, [record.continuation for record in records])
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
        return Rejected(record.id, record.index, reason, record.strings(self._task))

    def _probe(self) -> None:
        """Ask what every engine answers that can do the task and the settings."""
        if self._task == "score":
            self._lm.score(["a"], ["a"])
        else:
            self._lm.generate(["a"], dataclasses.replace(self._settings, max_new_tokens=1))
