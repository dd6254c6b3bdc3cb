"""Rebuild what we ship: train what is not trained yet, export it, print the table.

    python export/build.py [RECIPE.toml]...

Without arguments every recipe in export/recipes whose data is there.
"""

import json
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import kerasgpt
from kerasgpt import artifacts
from kerasgpt.config import read_json
from kerasgpt.export.pipeline import export_folder
from kerasgpt.runtime.language_model import open_file

ROOT = Path(__file__).resolve().parents[1]
NUM_TOKENS = 64


def build(path: Path) -> list[dict[str, Any]]:
    """Make one recipe's bundle, and give its report's rows with the speed of each artifact."""
    plan = tomllib.loads(path.read_text("utf-8"))
    data = json.dumps([str(ROOT / name) for name in plan["data"]])
    recipe = kerasgpt.Recipe.from_toml(ROOT / plan["recipe"], [f"data.paths={data}"])
    kerasgpt.train(recipe, ROOT / plan["run"], resume=True)
    bundle = ROOT / plan["out"]
    options = plan.get("options", {})
    for purpose in ("calibration", "evaluation"):
        if f"{purpose}_data" in plan:
            options[f"{purpose}_text"] = (ROOT / plan[f"{purpose}_data"]).read_text("utf-8")
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


def recipes_with_data() -> list[Path]:
    """The recipes that can be built; of each other a line says what it wants, and where that is from."""
    found = []
    for path in sorted((ROOT / "export" / "recipes").glob("*.toml")):
        plan = tomllib.loads(path.read_text("utf-8"))
        wanted = [
            *plan["data"],
            *(plan[key] for key in ("calibration_data", "evaluation_data") if key in plan),
        ]
        missing = [name for name in wanted if not (ROOT / name).exists()]
        if missing:
            print(
                f"{path.name}: left out, {', '.join(missing)} is not there; the recipe says where to get it"
            )
        else:
            found.append(path)
    return found


def main(paths: list[Path]) -> None:
    """Build the recipes, then print the table of export/README.md."""
    tables = {path.stem: build(path) for path in paths}
    print("\n| recipe | artifact | largest logit error | size | tokens a second |\n|---|---|---|---|---|")
    for name, rows in tables.items():
        for row in rows:
            print(
                f"| {name} | `{row['artifact']}` | {row['max_logit_error']:.1e}"
                f" | {row['size_bytes'] / 1e6:.1f} MB | {row['tokens_per_second']:,.0f} |"
            )


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or recipes_with_data())
