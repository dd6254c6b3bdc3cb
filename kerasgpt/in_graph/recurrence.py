"""LSTM and GRU in core TensorFlow ops: what the SavedModel of a recurrent model computes."""

from __future__ import annotations

from typing import Any, TypeAlias

import tensorflow as tf

from kerasgpt.in_graph.decode import GraphModel, one_step
from kerasgpt.in_graph.transformer import Weights
from kerasgpt.recurrent_config import EMBEDDINGS, HEAD, RecurrentConfig

State: TypeAlias = tuple[tuple[Any, ...], ...]
"""What each layer hands on: hidden float32 (B, H), and of an LSTM also cell (B, H)."""


class GraphRecurrence:
    """The forward pass of `kerasgpt.models.recurrent` in the graph; see `GraphNetwork`.

    Args:
        config: of the model.
        weights: tensors float32 by their names in model.safetensors.
    """

    def __init__(self, config: RecurrentConfig, weights: Weights) -> None:
        self.config = config
        self._weights = weights
        ids, lengths = tf.TensorSpec([None, None], tf.int64), tf.TensorSpec([None], tf.int64)
        # One function of the graph, which holds it once however many signatures call it.
        self._prompts = tf.function(self._read_prompts, [ids, lengths], autograph=False)

    def read_prompts(self, ids: Any) -> tuple[Any, State]:
        """Read ids int64 (B, T) padded on the right: hidden states float32 (B, T, H), and a state."""
        batch, width = tf.unstack(tf.shape(ids, tf.int64))
        return self._prompts(ids, tf.fill([batch], width))

    def final_norm(self, stream: Any) -> Any:
        """The hidden states as they are: a recurrent model has no norm."""
        return stream

    def head(self, hidden: Any) -> Any:
        """Hidden states (n, H) -> logits float32 (n, V)."""
        if self.config.has_projection:
            hidden = tf.matmul(hidden, self._weights["projection.weight"]) + self._weights["projection.bias"]
        table = EMBEDDINGS if self.config.tie_word_embeddings else HEAD
        return tf.matmul(hidden, self._weights[table], transpose_b=True)

    def model(self) -> GraphModel:
        """The network as a model of the loop, whose state no padding and no later token disturbs."""

        def prefill(token_ids: Any, lengths: Any, _: Any) -> tuple[State, Any]:
            _, state = self._prompts(token_ids, lengths)
            return state, self.head(state[-1][0])

        def step(state: State, ids: Any, _: Any) -> tuple[State, Any]:
            hidden, new = tf.gather(self._weights[EMBEDDINGS], ids), []
            for layer, old in enumerate(state):
                new.append(self._cell(layer, self._input(layer, hidden), old))
                hidden = new[-1][0]
            return tuple(new), self.head(hidden)

        def take(state: State, rows: Any) -> State:
            return tf.nest.map_structure(lambda vectors: tf.gather(vectors, rows), state)

        return GraphModel(prefill, one_step(step), take)

    def _read_prompts(self, ids: Any, lengths: Any) -> tuple[Any, State]:
        """Read prompts: hidden states (B, T, H), and the state after each row's last token that counts."""
        width = tf.shape(ids)[1]
        # Of nothing at all there would be nothing to stack: then one column is read, and left out again.
        ids = tf.pad(ids, [[0, 0], [0, tf.cast(tf.equal(width, 0), tf.int32)]])
        hidden = tf.gather(self._weights[EMBEDDINGS], tf.transpose(ids))  # (T, B, E)
        states = []
        for layer in range(self.config.num_layers):
            hidden, state = self._read_layer(layer, hidden, lengths)
            states.append(state)
        return tf.transpose(hidden, [1, 0, 2])[:, :width], tuple(states)

    def _read_layer(self, layer: int, inputs: Any, lengths: Any) -> tuple[Any, tuple[Any, ...]]:
        """Read (T, B, E) token by token: hidden states (T, B, H), and the state."""
        width, batch = tf.unstack(tf.shape(inputs)[:2])
        gates = self._input(layer, inputs)  # (T, B, gates H)
        nothing = tf.zeros(tf.stack([batch, self.config.hidden_dim]))
        start = tuple(nothing for _ in self.config.states)

        def read(place: Any, state: tuple[Any, ...], found: Any) -> tuple[Any, ...]:
            counts = (tf.cast(place, tf.int64) < lengths)[:, None]
            new = self._cell(layer, gates[place], state)
            kept = tuple(tf.where(counts, *pair) for pair in zip(new, state, strict=True))
            return place + 1, kept, found.write(place, kept[0])

        shape = tf.TensorShape([None, self.config.hidden_dim])
        _, state, found = tf.while_loop(
            lambda place, *_: place < width,
            read,
            (0, start, tf.TensorArray(tf.float32, width, element_shape=shape)),
            (tf.TensorShape([]), tuple(shape for _ in start), None),
            parallel_iterations=1,
        )
        return tf.ensure_shape(found.stack(), [None, None, self.config.hidden_dim]), state

    def _input(self, layer: int, values: Any) -> Any:
        """The product with the input, and its biases: (..., E) -> (..., gates H)."""
        bias = self._weights[f"layers.{layer}.bias"]
        kernel = self._weights[f"layers.{layer}.input.weight"]
        flat = tf.matmul(tf.reshape(values, [-1, kernel.shape[0]]), kernel)
        flat += bias[0] if self.config.cell == "gru" else bias
        return tf.reshape(flat, tf.concat([tf.shape(values)[:-1], [kernel.shape[1]]], 0))

    def _cell(self, layer: int, gates: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """One token more: its gates (B, gates H) and a layer's state -> the new state."""
        recurrent = tf.matmul(state[0], self._weights[f"layers.{layer}.state.weight"])
        if self.config.cell == "gru":
            recurrent += self._weights[f"layers.{layer}.bias"][1]
            return (_gru(gates, recurrent, state[0]),)
        return _lstm(gates + recurrent, state[1])


def _lstm(gates: Any, cell: Any) -> tuple[Any, Any]:
    """Hochreiter and Schmidhuber 1997, with forget gates: the new hidden and cell, (B, H) each."""
    let_in, forget, new, let_out = tf.split(gates, 4, axis=-1)
    cell = tf.sigmoid(forget) * cell + tf.sigmoid(let_in) * tf.tanh(new)
    return tf.sigmoid(let_out) * tf.tanh(cell), cell


def _gru(gates: Any, recurrent: Any, hidden: Any) -> Any:
    """Cho et al. 2014, arXiv:1406.1078, the reset gate after the product: the new hidden, (B, H)."""
    update, reset, new = tf.split(gates, 3, axis=-1)
    from_update, from_reset, from_new = tf.split(recurrent, 3, axis=-1)
    update, reset = tf.sigmoid(update + from_update), tf.sigmoid(reset + from_reset)
    return update * hidden + (1.0 - update) * tf.tanh(new + reset * from_new)
