"""The parts of an exported graph, and how the weights of each are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kerasgpt.runtime.graph import Graph, Node, Tensor

PARTS: Final = ("embeddings", "attention", "feed_forward", "recurrence", "head", "norms", "other")
INDICES: Final = "int64"  # of shapes, axes and the like: no weights


def parts(graph: Graph) -> dict[str, list[dict[str, Any]]]:
    """How each part of a model is stored: a row for each kind of tensor it reads, the largest first.

    A row has ``dtype``, ``bits`` of a number, ``num_tensors`` and ``size_bytes``; ``block_size``, where so
    many integers share a scale; and ``shared_with``, where another part reads the same tensors.
    """
    kinds: dict[str, dict[tuple[tuple[str, Any], ...], list[Tensor]]] = {}
    owners: dict[str, str] = {}
    for node in graph.nodes:
        part = part_of(node)
        for tensor in _weights(graph, node):
            owner = owners.setdefault(tensor.name, part)
            kind = _kind(node, tensor) + ((("shared_with", owner),) if owner != part else ())
            tensors = kinds.setdefault(part, {}).setdefault(kind, [])
            tensors += [tensor] if tensor not in tensors else []
    return {part: _rows(kinds[part]) for part in PARTS if part in kinds}


def part_of(node: Node) -> str:
    """The part of a model that a node computes, by its name as the exporter writes it.

    >>> part_of(Node("MatMul", "h.3/attn/MatMul_52")), part_of(Node("LayerNormalization", "h.3/attn/x"))
    ('attention', 'norms')
    """
    if "LayerNormalization" in node.operator:
        return "norms"
    scope, _, _ = node.name.rpartition("/")
    if scope.startswith("h.") and scope.endswith("/attn"):
        return "attention"
    if scope.startswith("h.") and scope.endswith("/mlp"):
        return "feed_forward"
    if scope.startswith("layers."):
        return "recurrence"
    return scope if scope in ("embeddings", "head") else "other"


def _weights(graph: Graph, node: Node) -> Iterator[Tensor]:
    for name in node.inputs:
        tensor = graph.weights.get(name)
        if tensor and tensor.shape and tensor.dtype != INDICES:  # a single number is a setting
            yield tensor


def _kind(node: Node, tensor: Tensor) -> tuple[tuple[str, Any], ...]:
    if "int" in tensor.dtype and "bits" in node.numbers:  # packed: a byte may hold two numbers
        blocks = {"bits": node.numbers["bits"], "block_size": node.numbers.get("block_size", 0)}
        return (("dtype", tensor.dtype), *blocks.items())
    return (("dtype", tensor.dtype), ("bits", tensor.bits))


def _rows(kinds: dict[tuple[tuple[str, Any], ...], list[Tensor]]) -> list[dict[str, Any]]:
    rows = [
        {
            **dict(kind),
            "num_tensors": len(tensors),
            "size_bytes": sum(tensor.num_bytes for tensor in tensors),
        }
        for kind, tensors in kinds.items()
    ]
    return sorted(rows, key=lambda row: -row["size_bytes"])
