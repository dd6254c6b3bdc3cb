"""What each kind of graph takes and gives, checked when it is opened and not in the midst of a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kerasgpt.artifacts import INPUTS_EMBEDS, LOGIT_OFFSETS, PAST_STATE, PRESENT_STATE
from kerasgpt.errors import KerasGPTError

_IDS: Final = ("tensor(int64)", "**")
_FLOATS: Final = "tensor(float)"
_SLOTS: Final = {
    "input_ids": _IDS,
    "attention_mask": _IDS,
    "position_ids": _IDS,
    INPUTS_EMBEDS: (_FLOATS, "**n"),
    LOGIT_OFFSETS: ("tensor(int64)", "*"),
    "lengths": ("tensor(int32)", "*"),
    "logits": (_FLOATS, "*?n"),
    "past_key_values": (_FLOATS, "*n*n"),
    "past_state": (_FLOATS, "1*n"),
}
"""Input or output, up to the first dot -> its type, and of each axis: * of any size, n of a fixed one."""


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of one kind of graph.

    Attributes:
        inputs: names that are the same in every graph.
        past: what the names of the inputs begin with that hold what was read before; "" where there are none.
        present: the same of the outputs that hold it for the next step.
        parts: what each layer has there, behind its number; none where that differs from graph to graph.
    """

    inputs: frozenset[str]
    past: str = ""
    present: str = ""
    parts: tuple[str, ...] = ()


CACHED: Final = Interface(
    frozenset({"input_ids", "attention_mask", "position_ids"}),
    "past_key_values.",
    "present.",
    ("key", "value"),
)
EMBEDS: Final = Interface(
    frozenset({INPUTS_EMBEDS, "attention_mask", "position_ids"}), CACHED.past, CACHED.present, CACHED.parts
)
RECURRENT: Final = Interface(frozenset({"input_ids", "lengths"}), PAST_STATE, PRESENT_STATE)
FORWARD: Final = Interface(frozenset({"input_ids"}))


def require_interface(session: Any, path: Path, wanted: Interface) -> None:
    """Refuse a graph that is of none of the forms that an export writes.

    Args:
        session: of the graph.
        path: of its file, for the sentence.
        wanted: what it is to take and give.

    Raises:
        KerasGPTError: it takes or gives something else.
    """
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value for value in session.get_outputs()}
    pasts = {name for name in inputs if wanted.past and name.startswith(wanted.past)}
    if pasts and wanted.parts:
        layers = range(-(-len(pasts) // len(wanted.parts)))
        pasts = {f"{wanted.past}{layer}.{part}" for layer in layers for part in wanted.parts}
    presents = {name.replace(wanted.past, wanted.present, 1) for name in pasts}
    if wanted.past and not pasts:
        raise _refusal(path, f"it has no input {wanted.past}*")
    for kind, found, names in (
        ("input", set(inputs), {*wanted.inputs, *pasts}),
        ("output", set(outputs), {"logits", *presents}),
    ):
        for name in sorted(found ^ names):
            raise _refusal(path, f"it has {'an' if name in found else 'no'} {kind} {name}")
    for value in (*inputs.values(), outputs["logits"]):
        dtype, axes = _SLOTS[value.name.partition(".")[0]]
        if value.type != dtype or not _is_of(value.shape, axes):
            raise _refusal(path, f"{value.name} is a {value.type} of shape {value.shape}")


def _is_of(shape: list[Any], axes: str) -> bool:
    """Whether a shape, whose varying sizes are names or unknown, is of the form that letters say."""
    return len(shape) == len(axes) and all(
        axis == "?" or (isinstance(size, int) and size > 0 and axis in ("n", str(size)))
        if axis != "*"
        else not isinstance(size, int)
        for size, axis in zip(shape, axes, strict=True)
    )


def _refusal(path: Path, found: str) -> KerasGPTError:
    return KerasGPTError(f"{path}: not a language model as exported here: {found}; export it again")
