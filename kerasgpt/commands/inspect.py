"""``kerasgpt inspect``: what is in a folder."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from kerasgpt import artifacts
from kerasgpt.commands.json_output import echo_json
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.runtime.graph import Tensor, data_files, read_graph
from kerasgpt.runtime.parts import parts
from kerasgpt.tasks.templates import read_template


@click.command("inspect")
@click.argument("folder", metavar="MODEL|RUN|BUNDLE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: str, as_json: bool) -> None:
    """Show a folder's kind, its model's shape, its files with their sizes, and its proof.

    Of each ONNX file also its operators, inputs and outputs, and how each part's weights are stored.
    """
    content = describe(Path(folder))
    if as_json:
        echo_json(content)
        return
    click.echo(f"{folder}: a {content['kind']}")
    for section in ("model", "task", "run", "artifacts", "files"):
        if section in content:
            click.echo(f"\n{section}")
            _print_section(content[section])
    for name, graph in content.get("graphs", {}).items():
        click.echo(f"\n{name}")
        _print_graph(graph)


def describe(folder: Path) -> dict[str, Any]:
    """Describe a folder as plain JSON values; keys carry their unit.

    Raises:
        KerasGPTError: it is neither a model folder, a run nor a bundle.
    """
    kind = artifacts.folder_kind(folder)
    content: dict[str, Any] = {"folder": str(folder), "kind": kind}
    if kind == "run" and (folder / artifacts.RUN_SUMMARY).is_file():
        content["run"] = read_json(folder / artifacts.RUN_SUMMARY)
    if kind != "run" or (folder / artifacts.RUN_MODEL / artifacts.CONFIG).is_file():
        root = artifacts.model_folder(folder)
        config = artifacts.read_config(root)
        content["model"] = {**dataclasses.asdict(config), "num_parameters": config.num_parameters}
        if task := read_template(root):
            content["task"] = dataclasses.asdict(task)
    if kind == "bundle":
        content["artifacts"] = _artifacts(folder / artifacts.REPORT_JSON)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content["files"] = {f"{path.relative_to(folder)}": path.stat().st_size for path in files}
    graphs = [path for path in files if path.suffix == ".onnx"]
    if graphs:
        content["graphs"] = {f"{path.relative_to(folder)}": describe_graph(path) for path in graphs}
    return content


def _artifacts(report: Path) -> list[Any]:
    """What a bundle's report says of its artifacts."""
    found = read_json(report).get("artifacts")
    if not isinstance(found, list) or not all(isinstance(row, dict) and "artifact" in row for row in found):
        raise KerasGPTError(f"{report}: has no list of artifacts; export the model again")
    return found


def describe_graph(path: Path) -> dict[str, Any]:
    """Describe an ONNX file as plain JSON values, from the file itself.

    Raises:
        KerasGPTError: it is damaged or no ONNX file, or its weights lie in a file that is missing or outside
            its folder.
    """
    graph = read_graph(path)
    operators = Counter(".".join(filter(None, [node.domain, node.operator])) for node in graph.nodes)
    return {
        "size_bytes": sum(part.stat().st_size for part in [path, *data_files(path, graph)]),
        "producer": graph.producer,
        "ir_version": graph.ir_version,
        "opsets": graph.opsets,
        "num_nodes": len(graph.nodes),
        "operators": dict(operators.most_common()),
        "inputs": [_described(tensor) for tensor in graph.inputs],
        "outputs": [_described(tensor) for tensor in graph.outputs],
        "parts": parts(graph),
    }


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": tensor.shape}


def _print_section(section: Any) -> None:
    if isinstance(section, list):
        for row in section:
            click.echo(f"  {row['artifact']}")
            _print_section({f"  {key}": value for key, value in row.items() if key != "artifact"})
        return
    width = max((len(key) for key in section), default=0)
    for key, value in section.items():
        is_count = isinstance(value, int) and not isinstance(value, bool)
        shown = f"{value:>14,}" if is_count else str(value).replace("\n", "\\n")
        click.echo(f"  {key:{width}}  {shown}")


def _print_graph(graph: dict[str, Any]) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in graph["operators"].items())
    opsets = ", ".join(f"{domain} {version}" for domain, version in graph["opsets"].items())
    lines = {
        "size": f"{graph['size_bytes']:,} bytes",
        "written by": f"{graph['producer']}, format {graph['ir_version']}, opsets {opsets}",
        "nodes": f"{graph['num_nodes']}: {counts}",
        "inputs": _of_tensors(graph["inputs"]),
        "outputs": _of_tensors(graph["outputs"]),
        **{part.replace("_", " "): _of_rows(rows) for part, rows in graph["parts"].items()},
    }
    for name, line in lines.items():
        click.echo(f"  {name:12} {line}")


def _of_tensors(tensors: list[dict[str, Any]]) -> str:
    """Names and shapes, those that differ in a number only at once."""

    def kind(tensor: dict[str, Any]) -> str:
        shape = ", ".join(map(str, tensor["shape"]))
        name = re.sub(r"\d+", "*", tensor["name"]).removesuffix(".key").removesuffix(".value")
        return f"{name} {tensor['dtype']} ({shape})"

    runs = [(name, len(list(same))) for name, same in groupby(tensors, kind)]
    return "; ".join(name if count == 1 else f"{count} x {name}" for name, count in runs)


def _of_rows(rows: list[dict[str, Any]]) -> str:
    return "; ".join(map(_of_row, rows))


def _of_row(row: dict[str, Any]) -> str:
    blocks = f" in {row['bits']} bits, blocks of {row['block_size']}" if "block_size" in row else ""
    tensors = "1 tensor" if row["num_tensors"] == 1 else f"{row['num_tensors']} tensors"
    shared = f", shared with the {row['shared_with'].replace('_', ' ')}" if "shared_with" in row else ""
    return f"{row['dtype']}{blocks}, {row['size_bytes'] / 1e6:,.1f} MB in {tensors}{shared}"
