"""The dtype policy in a layer's configuration, with those of the layers in it that `quantize` has changed."""

from __future__ import annotations

from typing import Any

import keras
from keras import dtype_policies


def serialized_policy(layer: keras.layers.Layer) -> Any:
    """What `get_config` gives as ``dtype``, so that a saved file finds the variables of quantised layers.

    Returns:
        The layer's policy; or, where `quantize` has changed layers in it, a map from their paths to theirs,
        which holds for a layer of the same name.
    """
    own = layer.dtype_policy
    if isinstance(own, dtype_policies.DTypePolicyMap):
        own = own.default_policy
    policies = dtype_policies.DTypePolicyMap(own)
    for each in layer._flatten_layers():
        if each.quantization_mode is not None:
            policy = each.dtype_policy
            is_map = isinstance(policy, dtype_policies.DTypePolicyMap)
            policies[each.path] = policy[each.path] if is_map else policy
    return dtype_policies.serialize(policies if policies else own)


def take_own_policies(layer: keras.layers.Layer) -> None:
    """Give each layer inside of one that has a path its own policy out of a map from paths, for good.

    Keras 3.15 looks at the map's default where it saves a quantised layer again.
    """
    for each in layer._flatten_layers(include_self=False):
        policy = each.dtype_policy
        if each.path and isinstance(policy, dtype_policies.DTypePolicyMap):
            each._dtype_policy = policy[each.path]
