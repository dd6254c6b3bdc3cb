"""The norms' weights of a rounded model, tuned until it answers most like the model it was rounded from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from kerasgpt.checkpoints.mapping import assign_arrays, variables_by_name
from kerasgpt.config import GPT2Config
from kerasgpt.export.folding import with_plain_norms, without_gains
from kerasgpt.export.kernels import Tensors
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.protocols import Ids, StepModel

TOKENS_AT_ONCE: Final = 512
NUM_EPOCHS: Final = 2
LEARNING_RATE: Final = 2e-3
MEASURED: Final = 4  # one row of so many is read once more before and after


class Answers(keras.utils.PyDataset):
    """Rows of text, and what a model says of the next token at each place.

    Args:
        model: whose answers they are.
        ids: int64 (R, T).
    """

    def __init__(self, model: StepModel, ids: Ids) -> None:
        super().__init__()
        self._model = model
        self._ids = ids
        self._size = max(TOKENS_AT_ONCE // ids.shape[1], 1)

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self._ids) // self._size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ids int32 (B, T) and logits float32 (B, T, V)."""
        ids = self._ids[index * self._size : (index + 1) * self._size]
        return ids.astype(np.int32), self._model.all_logits(ids, np.full(len(ids), ids.shape[1]))


def tuned_norms(
    config: GPT2Config,
    weights: Tensors,
    rounded: Tensors,
    model: StepModel,
    ids: Ids,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, NDArray[np.float32]]:
    """The weights of all norms, changed so that a rounded model answers like the exact one.

    Rounding adds noise to whatever a norm reads, so its weights are no longer the best ones: a noisy input
    should count less. They are few, stay float32 in every file, and cost a step nothing. They are trained to
    lessen the divergence of the rounded model's probabilities from the exact model's, KL(exact || rounded),
    the integers staying as they are (norm tweaking, Li et al. 2023, arXiv:2309.02784).

    Args:
        config: of the model.
        weights: by their Hugging Face names, those of a graph whose norms have biases.
        rounded: the matrices as their integers have them, among them ``lm_head.weight`` if the head's
            differ from the embeddings'.
        model: the exact one.
        ids: int64 (R, T), rows of text to learn from.
        tell: called with a line before and one after.

    Returns:
        Name -> float32 (D,) of every norm; those of `weights` if none better were found.
    """
    tell("tuning the norms to what was rounded")
    student = _student(config, {**weights, **rounded})
    answers = Answers(model, np.random.default_rng(0).permutation(ids))
    num_steps = NUM_EPOCHS * len(answers)
    student.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, num_steps), beta_2=0.99),
        loss=divergence,
        jit_compile=keras.backend.backend() == "jax",  # compiling takes longer than it saves
    )
    measured = Answers(model, ids[::MEASURED])
    before = student.evaluate(measured, verbose=0)
    student.fit(answers, epochs=NUM_EPOCHS, shuffle=False, verbose=0)
    after = student.evaluate(measured, verbose=0)
    tell(f"the rounded model was {before:.3g} nats from the exact one, and is {min(before, after):.3g}")
    if not after < before:
        return {name: np.asarray(array) for name, array in weights.items() if _is_norm(name)}
    found = {
        name: np.asarray(ops.convert_to_numpy(variable), np.float32)
        for name, variable in variables_by_name(student).items()
        if _is_norm(name)
    }
    return {name: weights[name] * gain if ".h." in name else gain for name, gain in found.items()}


def divergence(exact: Any, rounded: Any) -> Any:
    """KL(exact || rounded) of probabilities given as logits (B, T, V): nats (B, T)."""
    wanted, found = ops.log_softmax(exact), ops.log_softmax(rounded)
    return ops.sum(ops.exp(wanted) * (wanted - found), axis=-1)


def _student(config: GPT2Config, weights: Tensors) -> GPT2CausalLM:
    """A model of these weights of which the norms' alone are trained.

    In the layers they begin as ones, what they were being in the matrices, so that a step changes all by the
    same part.
    """
    is_tied = config.tie_word_embeddings and "lm_head.weight" not in weights
    config = dataclasses.replace(
        config, tie_word_embeddings=is_tied, dropout=0.0, embedding_dropout=0.0, attention_dropout=0.0
    )
    student = GPT2CausalLM(config, dtype="float32")
    assign_arrays(student, with_plain_norms(config, without_gains(config, weights)), "the rounded model")
    for name, variable in variables_by_name(student).items():
        variable.trainable = _is_norm(name)
    return student


def _is_norm(name: str) -> bool:
    return ".ln_" in name and name.endswith(".weight")
