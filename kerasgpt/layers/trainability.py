"""Which layers inside of one are trained and which are frozen, in its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kerasgpt.layers.policies import Names, inside

INNER = "trainable_inside"  # its name in a configuration


def inner_flags(layer: keras.layers.Layer) -> dict[str, Any]:
    """What `get_config` adds where a layer inside is trained otherwise than that which it is in.

    Returns:
        Nothing, or under `INNER` the names on the way to each such layer, and whether it is trained.
    """
    trained: dict[Names, bool] = {(): layer.trainable}
    found = {}
    for names, each in inside(layer):
        trained[names] = each.trainable
        if each.trainable != trained[names[:-1]]:
            found["/".join(names)] = each.trainable
    return {INNER: found} if found else {}


def set_inner_flags(layer: keras.layers.Layer, flags: Mapping[str, bool]) -> None:
    """Freeze and thaw what is inside of a layer that has all its parts; a part's own parts after it."""
    for names, each in inside(layer):
        if (path := "/".join(names)) in flags:
            each.trainable = flags[path]
