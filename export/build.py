"""Rebuild what we ship: train what is not trained yet, export it, print the table.

    python export/build.py [RECIPE.toml]...

Without arguments every recipe in export/recipes whose data is there.
"""

import argparse
import json
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import kerasgpt
from kerasgpt import artifacts
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.runtime.language_model import open_file

ROOT = Path(__file__).resolve().parents[1]
NUM_TOKENS = 64


def build(path: Path) -> list[dict[str, Any]]:
    """Make one recipe's bundle, and give its report's rows with the speed of each artifact."""
    from kerasgpt.export.pipeline import export_folder  # TensorFlow, which takes seconds and says a lot

    plan = tomllib.loads(path.read_text("utf-8"))
    data = json.dumps([str(ROOT / name) for name in plan["data"]])
    recipe = kerasgpt.Recipe.from_toml(ROOT / plan["recipe"], [f"data.paths={data}"])
    kerasgpt.train(recipe, ROOT / plan["run"], resume=True)
    bundle = ROOT / plan["out"]
    options = plan.get("options", {})
    for purpose in ("calibration", "evaluation"):
        if f"{purpose}_data" in plan:
            options[f"{purpose}_text"] = (ROOT / plan[f"{purpose}_data"]).read_bytes().decode("utf-8")
    if "generation" in plan:
        options["generation_config"] = kerasgpt.GenerationConfig(**plan["generation"])
    if "model_card" in plan:
        options["model_card"] = (ROOT / plan["model_card"]).read_text("utf-8")
    export_folder(ROOT / plan["run"], bundle, plan["formats"], plan["precisions"], print, **options)
    rows: list[dict[str, Any]] = read_json(bundle / artifacts.REPORT_JSON)["artifacts"]
    kept = [row for row in rows if "left_out" not in row]
    return [{**row, "tokens_per_second": tokens_per_second(bundle, row)} for row in kept]


def tokens_per_second(bundle: Path, row: dict[str, Any]) -> float:
    """Greedy tokens a second after one short prompt, this process being warm."""
    is_onnx = row["artifact"].endswith(".onnx")
    lm = open_file(bundle, row["artifact"]) if is_onnx else kerasgpt.load(bundle, row["engine"])
    settings = kerasgpt.GenerationConfig(max_new_tokens=NUM_TOKENS)
    lm.generate(["\n"], settings)
    started = time.perf_counter()
    generation = lm.generate(["\n"], settings)[0]
    return len(generation.token_ids) / (time.perf_counter() - started)


def missing(path: Path) -> str:
    """What a recipe lacks, in a sentence that says where it is from; empty if it can be built."""
    try:
        plan = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        return f"{path}: not a recipe that can be read: {error}"
    texts = [plan[key] for key in ("calibration_data", "evaluation_data") if key in plan]
    wanted = dict.fromkeys([*plan["data"], *texts])
    absent = [name for name in wanted if not (ROOT / name).exists()]
    if not absent:
        return ""
    origin = f"; {plan['data_from']}" if "data_from" in plan else ""
    return f"{path.name}: left out for want of {', '.join(absent)}{origin}"


def main(named: list[Path]) -> int:
    """Build the recipes, then print the table of export/README.md; 1 if one that was named lacks its data."""
    paths = named or sorted((ROOT / "export" / "recipes").glob("*.toml"))
    lacks = {path: missing(path) for path in paths}
    for sentence in filter(None, lacks.values()):
        print(sentence, file=sys.stderr)
    if named and any(lacks.values()):
        return 1
    tables = {path.stem: build(path) for path in paths if not lacks[path]}
    print("\n| recipe | artifact | largest logit error | size | tokens a second |\n|---|---|---|---|---|")
    for name, rows in tables.items():
        for row in rows:
            print(
                f"| {name} | `{row['artifact']}` | {row['max_logit_error']:.1e}"
                f" | {row['size_bytes'] / 1e6:.1f} MB | {row['tokens_per_second']:,.0f} |"
            )
    return 0


if __name__ == "__main__":
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("recipes", nargs="*", type=Path, metavar="RECIPE.toml")
    try:
        sys.exit(main(parser.parse_args().recipes))
    except KerasGPTError as error:
        sys.exit(f"error: {error}")
