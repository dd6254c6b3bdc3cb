"""Scores of models trained on tasks: ``--task NAME FOLDER FILE... [--task ...] [--limit N] [--out FILE]``.

FOLDER is a run or a bundle, FILE... are what it is judged on. Beside the model's scores, greedy and with four
beams, stand those of what costs no model. `kerasgpt evaluate` gives the same with intervals, one at a time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import machine, versions

from kerasgpt import load
from kerasgpt.artifacts import MANIFEST, RUN_SUMMARY, model_folder, read_config, write_json
from kerasgpt.config import read_json
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.answering import WrittenTask, written_task
from kerasgpt.tasks.base import Outcome, totals
from kerasgpt.tasks.files.records import TaskRecord

BATCH_SIZE = 64
NUM_SAMPLES = 5  # of what was written, for people


def scores(task: WrittenTask, outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in task.metrics(totals(outcomes)).items()}


def answered(task: WrittenTask, lm: LanguageModel, records: Sequence[TaskRecord]) -> list[Outcome]:
    """Outcomes in the order of the records, those of like length asked together."""
    order = sorted(range(len(records)), key=lambda number: task.size(records[number]))
    outcomes: dict[int, Outcome] = {}
    for start in range(0, len(order), BATCH_SIZE):
        numbers = order[start : start + BATCH_SIZE]
        answers = task.answer(lm, [records[number] for number in numbers])
        outcomes.update(zip(numbers, answers, strict=True))
    return [outcomes[number] for number in range(len(records))]


def judge(
    name: str, folder: str, paths: Sequence[str], limit: int | None, beams: list[int]
) -> dict[str, Any]:
    task, lm = written_task(name, model_folder(folder)), load(folder)
    records = task.read(paths, lm)[:limit]
    found: dict[str, Any] = {
        "task": name,
        "files": [Path(path).name for path in paths],
        "num_examples": len(records),
        "num_parameters": read_config(model_folder(folder)).num_parameters,
        "engine": "onnx fp32" if (Path(folder) / MANIFEST).is_file() else "keras",
    }
    if (Path(folder) / RUN_SUMMARY).is_file():
        found["run"] = read_json(Path(folder) / RUN_SUMMARY)
    for num_beams in beams:
        writing = GenerationConfig(max_new_tokens=task.template.max_new_tokens, num_beams=num_beams)
        outcomes = answered(dataclasses.replace(task, settings=writing), lm, records)
        found[f"{num_beams} beams" if num_beams > 1 else "greedy"] = scores(task, outcomes)
    found |= {each: scores(task, rows) for each, rows in task.baselines(records).items()}
    found["written"] = [
        {**record.fields, "right": record.answers[0], **outcome.details}
        for record, outcome in zip(records[:NUM_SAMPLES], outcomes, strict=False)
    ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", nargs="+", action="append", required=True, metavar="NAME FOLDER FILE")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--num-beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--out", default="benchmarks/results/fine_tuned_tasks.json")
    arguments = parser.parse_args()
    how = arguments.limit, arguments.num_beams
    found = [judge(name, folder, paths, *how) for name, folder, *paths in arguments.task]
    content = {"machine": machine(), "versions": versions("sacrebleu", "rouge_score"), "tasks": found}
    write_json(arguments.out, content)
    print(json.dumps(content, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
