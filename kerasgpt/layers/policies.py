"""The dtype policy in a layer's configuration, with those of the layers in it that have another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import keras
from keras import dtype_policies

Names: TypeAlias = tuple[str, ...]


def serialized_policy(layer: keras.layers.Layer) -> Any:
    """What `get_config` gives as ``dtype``, so that a layer made from it has the same policies inside.

    Returns:
        The layer's policy; or, where `quantize` has changed layers in it or it was given a map, a map from
        patterns of paths to the policies that differ, which holds wherever a layer lies and, but for its own
        policy, whatever it is called.
    """
    own = layer.dtype_policy
    is_map = isinstance(own, dtype_policies.DTypePolicyMap)
    if is_map and not layer.built:
        return dtype_policies.serialize(own)  # as it was given: nothing has a path to look up in it yet
    default = own.default_policy if is_map else own
    policies = {}
    for pattern, each in ((re.escape(layer.name), layer), *_patterns(layer)):
        policy = _policy_of(each)
        if policy != default and (is_map or each.quantization_mode is not None):
            policies[pattern] = policy
    return dtype_policies.serialize(dtype_policies.DTypePolicyMap(default, policies) if policies else default)


def _patterns(layer: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers inside of one, each with a pattern that its path fits and none of the others' does."""
    layers = list(inside(layer))
    places: dict[str, set[Names]] = {}
    for names, _ in layers:
        places.setdefault(names[-1], set()).add(names)
    for names, each in layers:
        depth = len(names)
        others = sorted(other[:-depth] for other in places[names[-1]] if other[-depth:] == names != other)
        deeper = "".join(f"(?<!{_path(other)})" for other in others)
        yield f".+{deeper}{_path(names)}", each


def _path(names: Names) -> str:
    return "".join(f"/{re.escape(name)}" for name in names)


def inside(layer: keras.layers.Layer, outer: Names = ()) -> Iterator[tuple[Names, keras.layers.Layer]]:
    """The layers inside of one, and the names on the way to each."""
    for each in layer._layers:
        names = (*outer, each.name)
        yield names, each
        yield from inside(each, names)


def _policy_of(layer: keras.layers.Layer) -> dtype_policies.DTypePolicy:
    policy = layer.dtype_policy
    if not isinstance(policy, dtype_policies.DTypePolicyMap):
        return policy
    return policy[layer.path] if layer.path else policy.default_policy


def take_own_policies(layer: keras.layers.Layer) -> None:
    """Give each layer inside of one that has a path its own policy out of a map from paths, for good.

    Keras 3.15 looks at the map's default where it saves a quantised layer again.
    """
    for each in layer._flatten_layers(include_self=False):
        if each.path:
            each._dtype_policy = _policy_of(each)
