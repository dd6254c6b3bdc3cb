"""The SavedModel: text in, text out in one graph of core TensorFlow ops, weights stored once."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasgpt.architectures import AnyConfig
from kerasgpt.atomic import atomic_folder
from kerasgpt.checkpoints import recurrent
from kerasgpt.checkpoints.mapping import assign_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.export.folding import with_plain_norms, without_gains, without_means
from kerasgpt.export.onnx_weights import Weights, checked_weights
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.in_graph.compiled import compiled_model
from kerasgpt.in_graph.decode import GraphModel
from kerasgpt.in_graph.followers import followers
from kerasgpt.in_graph.generation import Words
from kerasgpt.in_graph.network import GraphNetwork
from kerasgpt.in_graph.recurrence import GraphRecurrence
from kerasgpt.in_graph.signatures import signatures
from kerasgpt.in_graph.speculation import with_drafts
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.in_graph.transformer import GraphTransformer
from kerasgpt.in_graph.weights import GraphWeights, rounded
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.tasks.templates import TaskTemplate
from kerasgpt.tokenizer.bpe import Tokenizer


def write_saved_model(
    config: AnyConfig,
    weights: Weights,
    tokenizer: Tokenizer,
    generation_config: GenerationConfig,
    folder: str | os.PathLike[str],
    precision: str = "fp32",
    *,
    xla: bool = False,
    task: TaskTemplate | None = None,
    guesses: NDArray[np.int32] | None = None,
) -> None:
    """Write a SavedModel (tag ``serve``) that needs nothing but core TensorFlow to run.

    Its signatures are those of `kerasgpt.in_graph.signatures`, and the same functions are its attributes.

    Args:
        config: of the model.
        weights: float32 arrays by their Hugging Face names.
        tokenizer: the one it was trained with.
        generation_config: its `max_new_tokens` is how much a request gets that does not say.
        folder: such as ``bundle/saved_model/1``; replaced as a whole if it exists.
        precision: in which the weights are stored, see `kerasgpt.in_graph.weights`.
        xla: whether XLA compiles what generates, see `kerasgpt.in_graph.compiled`; for a server that has it.
        task: of a model that was fine-tuned on one, which then has the signature ``answer``.
        guesses: what `guesses_of` gives, for one who writes the same GPT-2 several times.

    Raises:
        KerasGPTError: a weight is missing or has another shape, or the folder cannot be written.
        UsageError: tokenizer and model do not belong together, or `max_new_tokens` is 0.
    """
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise UsageError(
            f"the tokenizer has {tokenizer.vocabulary_size} ids and the model"
            f" {config.vocabulary_size}: export the tokenizer the model was trained with"
        )
    if generation_config.max_new_tokens < 1:
        raise UsageError("max_new_tokens is 0: a SavedModel that writes nothing is of no use, give 1 or more")
    module = tf.Module()
    network: GraphNetwork
    if isinstance(config, RecurrentConfig):
        module.weights = GraphWeights(recurrent.checked_weights(config, weights))
        recurrence = GraphRecurrence(config, module.weights)
        network, model = recurrence, recurrence.model()
    else:
        arrays = graph_weights(config, checked_weights(config, weights), precision)
        module.weights = GraphWeights(arrays, precision)
        guesses = guesses_of(config, weights) if guesses is None else guesses
        module.followers = tf.Variable(guesses, trainable=False)
        network, model = _transformer(config, module, centred=is_centred(precision), xla=xla)
    module.tokenizer = InGraphTokenizer.from_tokenizer(tokenizer)
    words = Words(module.tokenizer, tokenizer.end_of_text_id)
    functions = signatures(network, words, generation_config.max_new_tokens, model, task)
    for name, function in functions.items():
        setattr(module, name, function)
    with atomic_folder(folder) as temporary:
        tf.saved_model.save(module, str(temporary), functions)


def _transformer(
    config: GPT2Config, module: Any, *, centred: bool, xla: bool
) -> tuple[GraphTransformer, GraphModel]:
    """The network of a module's weights, and what writes with it."""
    network = GraphTransformer(config, module.weights, centred=centred, followers=module.followers)
    if not xla:
        return network, with_drafts(network)
    return network, compiled_model(GraphTransformer(config, module.weights, centred=centred, compiled=True))


def guesses_of(config: GPT2Config, weights: Weights) -> NDArray[np.int32]:
    """What the graph drafts from where a text repeats nothing; of 124M it takes half a minute."""
    arrays = graph_weights(config, checked_weights(config, weights), "fp32")
    return followers(config, arrays, is_centred("fp32"))


def graph_weights(config: GPT2Config, weights: Weights, precision: str) -> dict[str, NDArray[np.float32]]:
    """The weights as `kerasgpt.in_graph.transformer` wants them, before they are rounded."""
    arrays = _folded(config, weights, precision)
    for name in list(arrays):
        if ".h." in name:
            prefix, _, kind = name.rpartition(".")
            if kind == "bias":
                arrays[f"{prefix}.minus_bias"] = -arrays.pop(name)
    return arrays


def _folded(config: GPT2Config, weights: Weights, precision: str) -> dict[str, NDArray[np.float32]]:
    return without_gains(config, without_means(config, weights) if is_centred(precision) else weights)


def is_centred(precision: str) -> bool:
    """Whether all matrices write the residual stream with mean 0, which rounded ones do not."""
    return precision == "fp32"


def rounded_model(config: GPT2Config, weights: Weights, precision: str) -> GPT2CausalLM:
    """A Keras model that answers as the SavedModel does, its weights as these are when it is loaded."""
    stored = _folded(config, weights, precision)
    arrays = {name: rounded(name, array, precision) for name, array in stored.items()}
    model = GPT2CausalLM(config, dtype="float32")
    assign_arrays(model, with_plain_norms(config, arrays), f"the SavedModel in {precision}")
    return model
