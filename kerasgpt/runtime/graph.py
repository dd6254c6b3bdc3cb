"""What an ONNX file holds: its nodes and the headers of its tensors, read without the onnx package."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kerasgpt.artifacts import lies_in
from kerasgpt.errors import KerasGPTError
from kerasgpt.runtime.protobuf import Value, fields, message, numbers, text

STANDARD: Final = "ai.onnx"  # the domain that a file writes as ""

# TensorProto.DataType -> name, and bits of a number
_DTYPES: Final = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    16: ("bfloat16", 16),
    21: ("uint4", 4),
    22: ("int4", 4),
}

_LARGEST_BYTES: Final = 2**63  # of a file


@dataclass
class Node:
    """One operator of a graph.

    Attributes:
        operator: what it does, such as ``"MatMul"``.
        name: its own.
        domain: of the operator; "" is the standard.
        inputs: names of tensors and of other nodes' results.
        numbers: its attributes that are one integer.
    """

    operator: str = ""
    name: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass
class Tensor:
    """A tensor without its numbers: a weight, an input or an output.

    Attributes:
        name: as nodes refer to it.
        dtype: such as ``"float32"``.
        bits: of one number; 0 where that is not known.
        shape: sizes, and names of those that vary.
        location: of the file beside that holds it; "" means this one.
    """

    name: str = ""
    dtype: str = ""
    bits: int = 0
    shape: list[int | str] = field(default_factory=list)
    location: str = ""

    @property
    def num_bytes(self) -> int:
        """What its numbers take."""
        return math.prod(size for size in self.shape if isinstance(size, int)) * self.bits // 8


@dataclass
class Graph:
    """An ONNX file.

    Attributes:
        ir_version: of the file format.
        producer: which program wrote it, and its version.
        opsets: domain -> version.
        nodes: in the order they run; those inside of loops and branches are not among them.
        weights: name -> tensor.
        inputs: that a caller gives, or may give.
        outputs: that it gets.
    """

    ir_version: int = 0
    producer: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)


def read_graph(path: Path) -> Graph:
    """Read an ONNX file, passing over the numbers of its weights.

    Raises:
        KerasGPTError: it is missing, damaged, or no ONNX file.
    """
    try:
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        graph = _graph(content)
    except (OSError, ValueError) as error:
        raise KerasGPTError(
            f"{path}: not an ONNX file, or a damaged one ({error}); export it again"
        ) from error
    if not graph.ir_version or not graph.nodes:
        raise KerasGPTError(f"{path}: not an ONNX file: it has no graph; export it again")
    return graph


def data_files(path: Path, graph: Graph) -> list[Path]:
    """The files beside an ONNX file that hold weights of it.

    Raises:
        KerasGPTError: one is missing, or lies outside the file's folder.
    """
    found = []
    for location in sorted({tensor.location for tensor in graph.weights.values() if tensor.location}):
        beside = path.parent / location
        if not lies_in(path.parent, beside):
            raise KerasGPTError(f"{path}: its weights lie in '{location}', outside its folder; refused")
        if not beside.is_file():
            raise KerasGPTError(f"{beside}: is missing, and {path.name} keeps its weights there; copy it too")
        found.append(beside)
    return found


def _graph(content: memoryview) -> Graph:
    graph, producer = Graph(), ["", ""]
    for number, value in fields(content):
        match number, value:
            case 1, int():
                graph.ir_version = value
            case 2 | 3, _:
                producer[number - 2] = text(value)
            case 7, _:
                _read_body(graph, message(value))
            case 8, _:
                opset = dict(fields(message(value)))
                graph.opsets[text(opset.get(1, memoryview(b""))) or STANDARD] = _number(opset.get(2, 0))
    graph.producer = " ".join(filter(None, producer))
    return graph


def _read_body(graph: Graph, content: memoryview) -> None:
    for number, value in fields(content):
        match number:
            case 1:
                graph.nodes.append(_node(message(value)))
            case 5:
                tensor = _weight(message(value))
                graph.weights[tensor.name] = tensor
            case 11:
                graph.inputs.append(_value_info(message(value)))
            case 12:
                graph.outputs.append(_value_info(message(value)))


def _node(content: memoryview) -> Node:
    node = Node()
    for number, value in fields(content):
        match number:
            case 1:
                node.inputs.append(text(value))
            case 3:
                node.name = text(value)
            case 4:
                node.operator = text(value)
            case 5:
                attribute = dict(fields(message(value)))
                if isinstance(found := attribute.get(3), int):
                    signed = found - 2**64 if found >= 2**63 else found
                    node.numbers[text(attribute.get(1, memoryview(b"")))] = signed
            case 7:
                node.domain = text(value)
    return node


def _weight(content: memoryview) -> Tensor:
    tensor = Tensor()
    for number, value in fields(content):
        match number:
            case 1:
                tensor.shape += numbers(value)
            case 2:
                tensor.dtype, tensor.bits = _dtype(_number(value))
            case 8:
                tensor.name = text(value)
            case 13:
                entry = dict(fields(message(value)))
                if text(entry.get(1, memoryview(b""))) == "location":
                    tensor.location = text(entry.get(2, memoryview(b"")))
    if tensor.num_bytes >= _LARGEST_BYTES:
        raise ValueError(f"the weight {tensor.name} claims more numbers than any file holds")
    return tensor


def _value_info(content: memoryview) -> Tensor:
    tensor = Tensor()
    for number, value in fields(content):
        if number == 1:
            tensor.name = text(value)
        if number == 2:
            kind = dict(fields(message(value))).get(1)  # None where it is no tensor but a list or a map
            for part, found in fields(message(kind or memoryview(b""))):
                if part == 1:
                    tensor.dtype, tensor.bits = _dtype(_number(found))
                if part == 2:
                    tensor.shape = [_size(message(size)) for _, size in fields(message(found))]
    return tensor


def _size(dimension: memoryview) -> int | str:
    for number, value in fields(dimension):
        if number == 1:
            return _number(value)
        if number == 2:
            return text(value)
    return "?"


def _dtype(number: int) -> tuple[str, int]:
    return _DTYPES.get(number, (f"type {number}", 0))


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise ValueError("something else stands where a number belongs")
    return value
