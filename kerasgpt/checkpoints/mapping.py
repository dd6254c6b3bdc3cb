"""THE name table: what each weight of a GPT-2 is called in every checkpoint format, and in our model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from kerasgpt import recurrent_config
from kerasgpt.architectures import AnyConfig
from kerasgpt.checkpoints import recurrent
from kerasgpt.checkpoints.stored import StoredArray, renamed
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.models.causal_lm import refuse_quantised
from kerasgpt.recurrent_config import RecurrentConfig

if TYPE_CHECKING:
    from kerasgpt.models.causal_lm import CausalLM
    from kerasgpt.models.gpt2 import GPT2CausalLM

HEAD = "lm_head.weight"


class Weight(NamedTuple):
    """A row of the table: one weight, by its name in each format.

    Attributes:
        huggingface: the canonical name, as in model.safetensors.
        axes: of the canonical array, in the letters of `_sizes`.
        openai: in OpenAI's TensorFlow checkpoint.
        tensorflow: in the tf_model.h5 of transformers v4.
        keras_hub: in a KerasHub preset's model.weights.h5; ``*`` stands for query, key and value apart.
    """

    huggingface: str
    axes: str
    openai: str
    tensorflow: str
    keras_hub: str


# What a layer's two arrays are called: by Hugging Face, OpenAI and transformers' TensorFlow models.
_NORM = (("weight", "g", "gamma"), ("bias", "b", "beta"))
_DENSE = (("weight", "w", "weight"), ("bias", "b", "bias"))


def _layer(
    name: str, kind: tuple[tuple[str, str, str], ...], axes: tuple[str, str], keras_hub: str
) -> list[Weight]:
    path = name.replace(".", "/")
    return [
        Weight(
            f"{name}.{ours}", sizes, f"{path}/{openai}", f"{path}/{tensorflow}", f"{keras_hub}/vars/{number}"
        )
        for number, ((ours, openai, tensorflow), sizes) in enumerate(zip(kind, axes, strict=True))
    ]


_TRANSFORMER = Weight("transformer.", "", "model/", "", "")
_BLOCK = Weight("h.{layer}.", "", "h{layer}/", "h_._{layer}/", "transformer_decoder{_layer}/")
_EMBEDDINGS = (
    Weight("wte.weight", "VD", "wte", "wte/weight", "reversible_embedding/vars/0"),
    Weight("wpe.weight", "PD", "wpe", "wpe/weight", "position_embedding/vars/0"),
)
_BLOCK_LAYERS = (
    *_layer("ln_1", _NORM, ("D", "D"), "_self_attention_layer_norm"),
    *_layer("attn.c_attn", _DENSE, ("DQ", "Q"), "_self_attention_layer/*_dense"),
    *_layer("attn.c_proj", _DENSE, ("DD", "D"), "_self_attention_layer/output_dense"),
    *_layer("ln_2", _NORM, ("D", "D"), "_feedforward_layer_norm"),
    *_layer("mlp.c_fc", _DENSE, ("DF", "F"), "_feedforward_intermediate_dense"),
    *_layer("mlp.c_proj", _DENSE, ("FD", "D"), "_feedforward_output_dense"),
)
_FINAL = _layer("ln_f", _NORM, ("D", "D"), "layer_normalization")
_HEAD = Weight(HEAD, "VD", "", "", "")  # an untied head is Hugging Face's alone

# Causal masks that old versions of transformers saved with the weights.
_STRAY_BUFFER = re.compile(r"h\.\d+\.attn\.(masked_)?bias$")

# GPT-2's layers multiply from the left, (in, out), as Keras's Dense does; only the untied head is
# stored the other way round.
_TRANSPOSED = frozenset({HEAD, recurrent_config.HEAD})


def weights(config: GPT2Config) -> list[Weight]:
    """The table's rows for a model of this configuration, in reading order.

    >>> rows = weights(GPT2Config.from_preset("gpt2"))
    >>> len(rows), rows[4].huggingface, rows[4].openai
    (148, 'transformer.h.0.attn.c_attn.weight', 'model/h0/attn/c_attn/w')
    """
    rows = [*_EMBEDDINGS]
    for layer in range(config.num_layers):
        # Keras numbers layers of one class from the second on.
        numbers = {"layer": layer, "_layer": f"_{layer}" if layer else ""}
        block = Weight(*(column.format(**numbers) for column in _BLOCK))
        rows += [_under(block, row) for row in _BLOCK_LAYERS]
    rows = [_under(_TRANSFORMER, row) for row in (*rows, *_FINAL)]
    return rows if config.tie_word_embeddings else [*rows, _HEAD]


def _under(prefix: Weight, row: Weight) -> Weight:
    return Weight(*(before + name for before, name in zip(prefix, row, strict=True)))


def shapes_by_name(config: AnyConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each array of a checkpoint, by its canonical name."""
    if isinstance(config, RecurrentConfig):
        return recurrent.shapes_by_name(config)
    sizes = _sizes(config)
    return {row.huggingface: tuple(sizes[axis] for axis in row.axes) for row in weights(config)}


def _sizes(config: GPT2Config) -> dict[str, int]:
    """V vocabulary, P positions, D width, F feed-forward width, Q queries, keys and values together."""
    return {
        "V": config.vocabulary_size,
        "P": config.max_sequence_length,
        "D": config.hidden_dim,
        "F": config.feed_forward_dim,
        "Q": 3 * config.hidden_dim,
    }


def variables_by_name(model: CausalLM) -> dict[str, Any]:
    """List every variable of a model under its canonical name, in reading order."""
    return dict(_variables(model))


def _variables(model: Any) -> Iterator[tuple[str, Any]]:
    for layer in model._flatten_layers():
        refuse_quantised(layer)
    if isinstance(model.config, RecurrentConfig):
        return recurrent.variables(model)
    return _transformer_variables(model)


def _transformer_variables(model: GPT2CausalLM) -> Iterator[tuple[str, Any]]:
    """Those of a GPT-2; a layer is built when its turn comes, so that filling it can precede the next."""
    embedding = model.backbone.embedding
    _build(model, embedding)
    yield "transformer.wte.weight", embedding.token_embedding.embeddings
    yield "transformer.wpe.weight", embedding.position_embedding.embeddings
    for index, block in enumerate(model.backbone.blocks):
        _build(model, block)
        prefix = f"transformer.h.{index}"
        yield from _norm(f"{prefix}.ln_1", block.attention_norm)
        yield from _dense(f"{prefix}.attn.c_attn", block.attention.qkv)
        yield from _dense(f"{prefix}.attn.c_proj", block.attention.output_projection)
        yield from _norm(f"{prefix}.ln_2", block.feed_forward_norm)
        yield from _dense(f"{prefix}.mlp.c_fc", block.feed_forward.expand)
        yield from _dense(f"{prefix}.mlp.c_proj", block.feed_forward.contract)
    if not model.built:
        model.build()
    yield from _norm("transformer.ln_f", model.backbone.final_norm)
    if not model.config.tie_word_embeddings:
        yield HEAD, embedding.token_embedding.reverse_embeddings


def _build(model: GPT2CausalLM, layer: Any) -> None:
    if not layer.built:
        # In the scopes that model.build() would open: a variable's path is the same either way.
        with keras.name_scope(model.name), keras.name_scope(model.backbone.name):
            layer.build((None, None, model.config.hidden_dim))


def _norm(name: str, layer: Any) -> Iterator[tuple[str, Any]]:
    yield f"{name}.weight", layer.gamma
    yield f"{name}.bias", layer.beta


def _dense(name: str, layer: Any) -> Iterator[tuple[str, Any]]:
    yield f"{name}.weight", _kernel(layer)
    yield f"{name}.bias", layer.bias


def _kernel(layer: Any) -> Any:
    """The matrix of a layer; with LoRA the sum in float32, which Keras's `kernel` rounds to its policy."""
    if not layer.lora_enabled:
        return layer.kernel
    update = keras.ops.matmul(layer.lora_kernel_a, layer.lora_kernel_b)
    return layer._kernel + layer.lora_alpha / layer.lora_rank * update


def named_arrays(model: CausalLM) -> dict[str, NDArray[np.float32]]:
    """Read a model's weights as float32 arrays in checkpoint form, to be read and not written to."""
    return {
        name: np.ascontiguousarray(_oriented(name, _numbers(variable)), np.float32)
        for name, variable in _variables(model)
    }


def _numbers(variable: Any) -> NDArray[Any]:
    """What a variable holds now, in the backend's own memory where it lends that and writes to it no more."""
    if keras.backend.backend() == "torch":  # which would train on in the memory it has lent
        return np.array(keras.ops.convert_to_numpy(variable))
    return np.asarray(keras.ops.stop_gradient(variable))


def assign_arrays(model: CausalLM, arrays: Mapping[str, NDArray[Any] | StoredArray], source: str) -> None:
    """Set a model's weights from arrays in checkpoint form, see `checked_arrays`.

    A model not built yet is built layer by layer as they come.

    Raises:
        KerasGPTError: an array is missing, left over, of another shape, unreadable, or not all finite.
    """
    numbers = checked_arrays(arrays, model.config, source)
    # A weight is read before its layer is built, so that the largest is copied while little else is there.
    tensors = (keras.ops.convert_to_tensor(_oriented(name, array)) for name, array in numbers)
    with _plain_start(model):
        for tensor, (_, variable) in zip(tensors, _variables(model), strict=True):
            variable.assign(tensor)


@contextmanager
def _plain_start(model: Any) -> Iterator[None]:
    """Let the token embeddings begin as zeros: drawing them takes thrice their memory, for nothing here."""
    is_recurrent = isinstance(model.config, RecurrentConfig)
    layer = model.token_embedding if is_recurrent else model.backbone.embedding.token_embedding
    drawn, layer.embeddings_initializer = layer.embeddings_initializer, keras.initializers.Zeros()
    try:
        yield
    finally:
        layer.embeddings_initializer = drawn


def checked_arrays(
    arrays: Mapping[str, NDArray[Any] | StoredArray], config: AnyConfig, source: str
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Read a checkpoint's arrays one at a time as float32, by canonical name, in reading order.

    All names and shapes are checked before the first is read; its numbers are checked as each is.

    Args:
        arrays: name -> array, of any float type; bare names (``h.0...``) included.
        config: of the model they are to fit.
        source: where they come from, for the error's sentence.

    Raises:
        KerasGPTError: an array is missing, left over, of another shape, unreadable, or not all finite.
    """
    given = dict(arrays) if isinstance(config, RecurrentConfig) else _canonical(arrays, source)
    if config.tie_word_embeddings:
        given.pop(HEAD, None)  # a tied head, written out all the same
    shapes = shapes_by_name(config)
    _check_names(given, shapes, source)
    for name, shape in shapes.items():
        if given[name].shape != shape:
            raise KerasGPTError(
                f"{source}: {_label(name, given[name])} has shape {given[name].shape},"
                f" its configuration asks for {shape}"
            )
    for name in shapes:
        yield name, _finite(name, given[name], source)


def _check_names(given: Mapping[str, Any], wanted: Mapping[str, Any], source: str) -> None:
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or extra:
        unknown = f"holds {_label(extra[0], given[extra[0]])}, which this model has not" if extra else ""
        what = f"has no {missing[0]}" if missing else unknown
        raise KerasGPTError(f"{source}: {what} ({len(missing)} missing, {len(extra)} unexpected weights)")


def _finite(name: str, array: NDArray[Any] | StoredArray, source: str) -> NDArray[np.float32]:
    numbers = np.asarray(array, dtype=np.float32)
    if not np.isfinite([numbers.min(), numbers.max()]).all():  # a NaN is the least and the greatest
        raise KerasGPTError(
            f"{source}: {_label(name, array)} holds numbers that are not finite (NaN or infinity);"
            f" take an earlier checkpoint, or copy this one again"
        )
    return numbers


def _canonical(
    arrays: Mapping[str, NDArray[Any] | StoredArray], source: str
) -> dict[str, NDArray[Any] | StoredArray]:
    """Give bare names their ``transformer.`` prefix, and drop stray mask buffers."""
    kept = {name: array for name, array in arrays.items() if not _STRAY_BUFFER.search(name)}
    return renamed(kept, _prefixed, source)


def _prefixed(name: str) -> str:
    return name if name == HEAD or name.startswith("transformer.") else f"transformer.{name}"


def _label(name: str, array: NDArray[Any] | StoredArray) -> str:
    return array.name if isinstance(array, StoredArray) else name


def _oriented(name: str, array: NDArray[Any]) -> NDArray[Any]:
    return array.T if name in _TRANSPOSED else array
