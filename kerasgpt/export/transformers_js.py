"""transformers.js_config: what transformers.js cannot see of a bundle's ONNX files, said in config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from kerasgpt import artifacts
from kerasgpt.config import read_json

FILES: Final = (artifacts.ONNX_MODEL, artifacts.ONNX_HALF, artifacts.ONNX_INT8, artifacts.ONNX_INT4)
"""The files that transformers.js looks for, one for each of its dtypes fp32, fp16, q8 and q4."""


def write_transformers_js(bundle: Path) -> None:
    """Add to config.json what a page needs that loads the bundle without options; often that is nothing.

    A bundle with none of its files is not for it.

    Two things it cannot see. In a browser it asks for the 8-bit file, which not every bundle has. And ONNX
    Runtime has no folder there in which to look for weights beside their file: transformers.js fetches them
    first, and has to be told for which files, since one that is not there is an error.

    Args:
        bundle: in the making, its config.json and ONNX files written.
    """
    settings: dict[str, Any] = {}
    if not any((bundle / name).is_file() for name in FILES):
        return
    if not (bundle / artifacts.ONNX_INT8).is_file():
        settings["dtype"] = "fp32"
    paths = [bundle / name for name in FILES]
    beside = {path.name: 1 for path in paths if path.with_name(f"{path.name}_data").is_file()}  # of one part
    if beside:
        settings["use_external_data_format"] = beside
    if settings:
        path = bundle / artifacts.CONFIG
        artifacts.write_json(path, {**read_json(path), "transformers.js_config": settings})
