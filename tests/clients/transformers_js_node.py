"""transformers.js runs a bundle's portable files in Node, on onnxruntime-node: greedy ids, and texts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from transformers_js_answers import Model, external, problems

HERE = Path(__file__).parent
ENVIRONMENT = Path(sys.executable).parents[1]  # Node's packages lie in the same folder as Python's


def main(folder: str) -> int:
    """Compare every portable file, and one whose weights lie beside it."""
    bundle = Path(folder)
    models = [
        Model(bundle, "fp32", "model.onnx"),
        Model(bundle, "fp16", "model_fp16.onnx"),
        Model(bundle, "q8", "model_quantized.onnx"),
        Model(bundle, "q4", "model_q4.onnx"),
        Model(external(bundle), "", "model.onnx"),
    ]
    found = problems(models, lambda requests: ask(bundle.parent, requests))
    for problem in found:
        print(f"transformers_js_node: {problem}", file=sys.stderr)
    return int(bool(found))


def ask(folder: Path, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let Node answer, from the bundles in a folder."""
    command = ["node", HERE / "transformers_js_node.mjs", ENVIRONMENT, folder]
    child = subprocess.run(
        command, input=json.dumps(requests), stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    answer = json.loads(child.stdout)
    print(f"       transformers.js {answer['version']}, onnxruntime-node {answer['runtime']}, CPU")
    found: list[dict[str, Any]] = answer["found"]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
