"""A small model of large random weights, in Keras and as functions of a graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.export.saved_model import graph_weights
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.in_graph.followers import followers
from kerasgpt.in_graph.generation import Words
from kerasgpt.in_graph.signatures import signatures
from kerasgpt.in_graph.speculation import with_drafts
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.in_graph.transformer import GraphTransformer
from kerasgpt.in_graph.weights import GraphWeights
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.language_model import KerasStepModel
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

CONTEXT, NEW = 40, 10
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("o", "u"), ("l", "l")]


@pytest.fixture(scope="session")
def small_tokenizer() -> Tokenizer:
    return Tokenizer(learned_vocabulary(MERGES), MERGES)


@pytest.fixture(scope="session")
def small_model(small_tokenizer: Tokenizer) -> GPT2CausalLM:
    """Now and then its best token is the end."""
    keras.utils.set_random_seed(5)
    shape = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "initializer_range": 0.4}
    model = GPT2CausalLM(GPT2Config(small_tokenizer.vocabulary_size, max_sequence_length=CONTEXT, **shape))
    model.build()
    for weight in model.weights:
        if len(weight.shape) == 1:  # norms and biases, which begin as ones and zeros
            weight.assign(np.asarray(weight) + keras.random.normal(weight.shape, stddev=0.2))
    (table,) = [w for w in model.weights if tuple(w.shape) == (small_tokenizer.vocabulary_size, 32)]
    likelier = np.ones((small_tokenizer.vocabulary_size, 1))
    likelier[small_tokenizer.end_of_text_id] = 2
    table.assign(np.asarray(table) * likelier)
    return model


@pytest.fixture(scope="session")
def keras_lm(small_model: GPT2CausalLM, small_tokenizer: Tokenizer) -> StepLanguageModel:
    return StepLanguageModel(KerasStepModel(small_model), small_tokenizer)


@pytest.fixture(scope="session")
def transformer(small_model: GPT2CausalLM) -> GraphTransformer:
    config = small_model.config
    arrays = graph_weights(config, named_arrays(small_model), "fp32")
    after_each = tf.Variable(followers(config, arrays, centred=True), trainable=False)
    return GraphTransformer(config, GraphWeights(arrays), centred=True, followers=after_each)


@pytest.fixture(scope="session")
def words(small_tokenizer: Tokenizer) -> Words:
    return Words(InGraphTokenizer.from_tokenizer(small_tokenizer), small_tokenizer.end_of_text_id)


@pytest.fixture(scope="session")
def functions(transformer: GraphTransformer, words: Words) -> dict[str, Any]:
    return signatures(transformer, words, NEW, with_drafts(transformer))
