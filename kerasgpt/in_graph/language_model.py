"""The SavedModel engine: an exported graph as a language model, with TensorFlow and never Keras."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf

from kerasgpt import artifacts, checks
from kerasgpt.atomic import unpatterned
from kerasgpt.errors import KerasGPTError, UsageError, first_line, graph_reason
from kerasgpt.generation.chooser import settings_of_rows
from kerasgpt.generation.probabilities import refuse_no_numbers
from kerasgpt.generation.prompts import PromptReader, PromptTruncatedWarning
from kerasgpt.generation.samplers import seeds_of_rows
from kerasgpt.generation.scoring import Scorer
from kerasgpt.generation.texts import pad_right
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.manifest import Manifest
from kerasgpt.protocols import FinishReason, Generation, Ids, Logits, Prompt, Score, Settings
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.vocabulary import well_formed

KNOBS = {
    "max_new_tokens": np.int64,
    "temperature": np.float32,
    "top_k": np.int64,
    "top_p": np.float32,
    "min_p": np.float32,
    "repetition_penalty": np.float32,
}
"""Settings that are inputs of the graph under their own names, and what they are there."""

_PAUSED = ("keys", "values", "token_ids", "num_prompt_tokens", "num_tokens")  # what decode goes on from
_STREAM_STEPS = 4  # tokens a call, each of which copies the cache

IN_THE_GRAPH = {*KNOBS, "seed", "stop", "skip_special_tokens", "prompt_lookup_num_tokens"}
"""Settings of a request that this engine heeds, drafts by a pace of its own; it refuses any other that would
change the output."""


class SavedModel:
    """The signatures of a loaded graph, numpy in and out.

    Args:
        loaded: by ``tf.saved_model.load``.
        vocabulary_size: V.
        max_sequence_length: the context, in tokens.
    """

    def __init__(self, loaded: Any, vocabulary_size: int, max_sequence_length: int) -> None:
        self._loaded = loaded  # its signatures do not keep their own weights alive
        self._signatures: Mapping[str, Any] = loaded.signatures
        self.vocabulary_size = vocabulary_size
        self.max_sequence_length = max_sequence_length

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, float32 (B, T, V); those at and after `lengths` are meaningless."""
        logits: Logits = self._ask("logits", input_ids=ids, lengths=lengths)["logits"].numpy()
        return logits

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[dict[str, Any]]:
        """Continue texts, the graph's own tokenizer reading them: for each its row of every output.

        Args:
            prompts: B texts.
            **settings: every input of the signature besides, an array (B,) each.
        """
        texts = tf.constant([well_formed(prompt).encode() for prompt in prompts], tf.string)
        return _rows(self._ask("generate", prompts=texts, **settings))

    def generate_tokens(self, prompts: Sequence[Sequence[int]], **settings: Any) -> list[dict[str, Any]]:
        """Continue ids: for each prompt its row of every output; the settings are those of `generate`."""
        ids, lengths = pad_right(prompts)
        return _rows(self._ask("generate_tokens", input_ids=ids, lengths=lengths, **settings))

    @property
    def can_pause(self) -> bool:
        """Whether it writes a few tokens a call; a recurrent model's graph writes whole texts."""
        return {"prefill", "decode"} <= set(self._signatures)

    def pieces(self, prompt: str, **settings: Any) -> Iterator[str]:
        """Continue a text piece by piece; the settings are those of `generate`, an array (1,) each.

        Raises:
            UsageError: the graph finds that the settings make no sense.
            KerasGPTError: the logits are not finite.
        """
        text, steps = tf.constant([well_formed(prompt).encode()]), tf.constant([_STREAM_STEPS], tf.int64)
        answer = self._ask("prefill", prompts=text, max_new_tokens=settings["max_new_tokens"])
        reason = b""
        while not reason:
            state = {name: answer[name] for name in _PAUSED}
            answer = self._ask("decode", **state, **settings, num_steps=steps)
            _refuse(answer["error"].numpy()[0])
            refuse_no_numbers(answer["logprobs"].numpy()[0][: int(answer["num_new_tokens"][0])])
            piece, reason = answer["text"].numpy()[0].decode(), answer["finish_reason"].numpy()[0]
            if piece:
                yield piece

    def _ask(self, signature: str, **inputs: Any) -> dict[str, Any]:
        try:
            outputs: dict[str, Any] = self._signatures[signature](
                **{name: tf.convert_to_tensor(array) for name, array in inputs.items()}
            )
        except tf.errors.OpError as error:
            raise KerasGPTError(f"the SavedModel's {signature} fails: {graph_reason(error)}") from error
        return outputs


class SavedModelLanguageModel:
    """Generates, streams and scores with an exported graph; see `kerasgpt.protocols.LanguageModel`.

    Args:
        model: the graph.
        tokenizer: of the same bundle.
        settings: of the same bundle, used where a call gives none; None means the default.
    """

    def __init__(
        self, model: SavedModel, tokenizer: Tokenizer, settings: GenerationConfig | None = None
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings or GenerationConfig()
        self._reader = PromptReader(tokenizer, model.vocabulary_size, model.max_sequence_length)
        self._scorer = Scorer(model, self._reader)

    @property
    def max_sequence_length(self) -> int:
        """The context, in tokens."""
        return self.model.max_sequence_length

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, float32 (B, T, V); those at and after `lengths` are meaningless."""
        return self.model.all_logits(ids, lengths)

    def generate(self, prompts: Sequence[Prompt], settings: Settings | None = None) -> list[Generation]:
        """Continue each prompt.

        Args:
            prompts: texts, or ids; an empty one starts from ``<|endoftext|>``. Of one that fills the
                context only the end is read, with a PromptTruncatedWarning.
            settings: one for all, or one for each prompt.

        Raises:
            UsageError: the graph cannot do what the settings ask, or finds that they make no sense, or an
                id is not in the vocabulary.
        """
        prompts = checks.several("prompts", prompts)
        each = settings_of_rows(self.settings if settings is None else settings, len(prompts))
        for own in each:
            self._check(own)
        if len(prompts) == 0:  # not by their truth, which an array has not
            return []
        inputs = _inputs(each)
        if all(isinstance(prompt, str) for prompt in prompts):
            rows = self.model.generate(cast(Sequence[str], prompts), **inputs)
        else:
            rows = self.model.generate_tokens([self._reader.ids(prompt) for prompt in prompts], **inputs)
        for row in rows:
            _refuse(row["error"])
            self._warn_if_truncated(row)
        return [self._generation(row, own) for row, own in zip(rows, each, strict=True)]

    def stream(self, prompt: Prompt, settings: GenerationConfig | None = None) -> Iterator[str]:
        """Yield the continuation of a text a few tokens at a time; that of ids in one piece.

        A recurrent model's graph writes whole texts, so that it gives one piece too.

        Raises:
            UsageError: as `generate` does.
        """
        (own,) = settings_of_rows(self.settings if settings is None else settings, 1)
        self._check(own)
        if self.model.can_pause and isinstance(prompt, str) and own.skip_special_tokens:
            self._reader.fitted(prompt, own.max_new_tokens)  # warns where it does not fit
            return self.model.pieces(prompt, **_inputs([own]))
        (generation,) = self.generate([prompt], own)
        return iter([generation.text] if generation.text else [])

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt]) -> list[Score]:
        """Score each continuation after its prompt, as `kerasgpt.generation.scoring.Scorer.score` does."""
        return self._scorer.score(prompts, continuations)

    def _check(self, settings: GenerationConfig) -> None:
        """Refuse what is not in the graph."""
        wanted = {name: value for name, value in settings.changes().items() if name not in IN_THE_GRAPH}
        if len(settings.stop) > 1:
            wanted["stop"] = f"{len(settings.stop)} texts"
        shows_others = not settings.skip_special_tokens and len(self.tokenizer.special_tokens) > 1
        if settings.stop and shows_others:  # the graph looks for it in the text without any
            wanted["stop"] = f"{settings.stop[0]!r} where special tokens are shown"
        for name, value in wanted.items():
            raise UsageError(
                f"{name} {value}: this SavedModel cannot do that; use the onnx or the keras engine"
            )

    def _warn_if_truncated(self, row: Mapping[str, Any]) -> None:
        kept, dropped = int(row["num_prompt_tokens"]), int(row["num_dropped_tokens"])
        if dropped:
            warnings.warn(
                f"the prompt has {kept + dropped} tokens and the model's context is"
                f" {self.max_sequence_length}: only its last {kept} are read",
                PromptTruncatedWarning,
                stacklevel=3,
            )

    def _generation(self, row: Mapping[str, Any], settings: GenerationConfig) -> Generation:
        count = int(row["num_tokens"])
        token_ids, logprobs = row["token_ids"][:count].tolist(), row["logprobs"][:count]
        refuse_no_numbers(logprobs)
        text = row["text"].decode("utf-8")
        if not settings.skip_special_tokens:  # the graph's text has none
            text = self.tokenizer.decode(token_ids, skip_special_tokens=False, errors="ignore")
            text = text.split(settings.stop[0])[0] if settings.stop else text
        reason: FinishReason = "stop" if row["finish_reason"] == b"stop" else "length"
        return Generation(
            text=text,
            token_ids=token_ids,
            num_prompt_tokens=int(row["num_prompt_tokens"]),
            finish_reason=reason,
            logprobs=logprobs.tolist(),
        )


def _inputs(settings: Sequence[GenerationConfig]) -> dict[str, Any]:
    """Settings of rows as the graph's inputs, an array (B,) each."""
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite, and the graph refuses it
        inputs: dict[str, Any] = {
            name: np.array([getattr(own, name) for own in settings], dtype) for name, dtype in KNOBS.items()
        }
    inputs["seed"] = seeds_of_rows(own.seed for own in settings).view(np.int64)
    inputs["stop"] = np.array([_stop_text(own).encode() for own in settings], object)
    return inputs


def _stop_text(settings: GenerationConfig) -> str:
    """The one stop text, "" for none: one with half a surrogate pair is in no text, and ends none."""
    stop = "".join(settings.stop[:1])
    return stop if well_formed(stop) == stop else ""


def _refuse(error: bytes) -> None:
    """Raise what the graph says is wrong with a row, if anything is."""
    if error:
        raise UsageError(error.decode())


def _rows(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn tensors (B, ...) into one dict of numpy values a row."""
    arrays = {name: np.asarray(tensor.numpy()) for name, tensor in outputs.items()}
    return [dict(zip(arrays, values, strict=True)) for values in zip(*arrays.values(), strict=True)]


def open_bundle(folder: str | os.PathLike[str], precision: str | None = None) -> SavedModelLanguageModel:
    """Open a bundle's SavedModel, with the tokenizer and the settings beside it.

    Args:
        folder: the bundle.
        precision: of its weights; None means the one at saved_model/1.

    Raises:
        KerasGPTError: there is none of that precision, or it is damaged or not one of this package.
    """
    if precision is None:
        return open_file(folder, artifacts.SAVED_MODEL)
    for engine, has in artifacts.saved_models_of(Manifest.read(folder).precisions).items():
        if has == precision:
            return open_file(folder, artifacts.SAVED_MODELS.get(engine, artifacts.SAVED_MODEL))
    raise KerasGPTError(
        f"{folder}: has no SavedModel in {precision}: export the model again with --precisions {precision}"
    )


def open_file(folder: str | os.PathLike[str], name: str | os.PathLike[str]) -> SavedModelLanguageModel:
    """Open one SavedModel of a bundle by its path in it.

    Raises:
        KerasGPTError: it is missing, damaged, or not one of this package.
    """
    path = Path(folder) / name
    try:
        with unpatterned(path) as plain:
            loaded = tf.saved_model.load(str(plain))
    except Exception as error:  # of a damaged one also an IndexError, a KeyError and others
        reason = first_line(error)
        raise KerasGPTError(f"{path}: cannot load the SavedModel ({reason}); export it again") from error
    missing = {"generate", "generate_tokens", "logits"} - set(loaded.signatures)
    if missing:
        raise KerasGPTError(f"{path}: has no signature {min(missing)}; export it again")
    config = artifacts.read_config(folder)
    model = SavedModel(loaded, config.vocabulary_size, config.max_sequence_length)
    settings = artifacts.read_generation_config(folder)
    return SavedModelLanguageModel(model, Tokenizer.from_preset(folder), settings)
