"""EleutherAI's lm-evaluation-harness judges a bundle as we do: through our adapter, and by transformers."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

import kerasgpt
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.evaluation import evaluate_task
from kerasgpt.tasks.harness import HarnessModel
from kerasgpt.tasks.hellaswag import HellaSwag
from kerasgpt.tasks.lambada import Lambada
from kerasgpt.tasks.language_modeling import LanguageModeling

TOLERANCE = 1e-4

# Each asks the harness for what a task of ours says; the harness' own files want its data sets' hub.
CONFIGURATIONS = {
    "own_text": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: bits_per_byte}, {metric: byte_perplexity}]
""",
    "own_wikitext": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: !function words.joined
process_results: !function words.judged
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
""",
    "own_lambada": """
output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
metric_list: [{metric: perplexity}, {metric: acc}]
""",
    "own_hellaswag": """
output_type: multiple_choice
process_docs: !function words.cleaned
doc_to_text: "{{query}}"
doc_to_target: "{{gold}}"
doc_to_choice: "choices"
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_bytes}]
""",
}
WORDS = """
from lm_eval.tasks.hellaswag.utils import process_docs as cleaned
from lm_eval.tasks.wikitext.preprocess_wikitext import process_results as judged
from kerasgpt.tasks.files.detokenizers import DETOKENIZERS

def joined(doc):
    return DETOKENIZERS["wikitext"].detokenize(doc["page"])
"""


def main(bundle: str) -> int:
    """Compare figures of three ways: ours, the harness with our adapter, the harness with transformers."""
    ours = our_figures(bundle, Path(tempfile.mkdtemp()))
    with tempfile.TemporaryDirectory() as scratch:
        write_tasks(Path(scratch), kerasgpt.load(bundle, "onnx"))
        adapter = harness_figures(HarnessModel(bundle, engine="onnx", device="cpu", batch_size=1), scratch)
        theirs = harness_figures(
            HFLM(pretrained=bundle, dtype="float32", device="cpu", batch_size=4), scratch
        )
    problems = [
        f"{name}: ours {ours[name]:.7g}, {way} {found[name]:.7g}"
        for way, found in (("adapter", adapter), ("transformers", theirs))
        for name in ours
        if not math.isclose(ours[name], found[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    ]
    worst = max(abs(theirs[name] / value - 1) for name, value in ours.items() if value)
    print(
        f"       lm-eval {lm_eval.__version__}: {len(ours)} figures, relative difference at most {worst:.1e}"
    )
    print("       " + ", ".join(f"{name} {value:.5g}" for name, value in ours.items()))
    for problem in problems:
        print(f"lm_eval_harness: {problem}", file=sys.stderr)
    return int(bool(problems))


def our_figures(bundle: str, scratch: Path) -> dict[str, float]:
    """The figures by our tasks, by the harness's names."""
    lm = kerasgpt.load(bundle, "onnx")
    write_data(scratch, lm)
    window = lm.max_sequence_length

    def figures(task, name: str) -> dict[str, float]:
        return evaluate_task(task, lm, task.read([scratch / f"{name}.jsonl"], lm)).summary.metrics

    text = figures(LanguageModeling(stride=window, level="document"), "own_text")
    pages = [json.loads(line)["page"] for line in (scratch / "own_wikitext.jsonl").read_text().splitlines()]
    (scratch / "pages.txt").write_text("".join(pages))
    wiki = LanguageModeling(stride=window, level="document", detokenizer="wikitext")
    words = evaluate_task(wiki, lm, wiki.read([scratch / "pages.txt"], lm)).summary.metrics
    nats = math.log(words["word_perplexity"]) * words["num_words"]
    lambada, hellaswag = figures(Lambada(), "own_lambada"), figures(HellaSwag(), "own_hellaswag")
    return {
        "own_text bits_per_byte": text["bits_per_byte"],
        "own_text byte_perplexity": 2 ** text["bits_per_byte"],
        # It also counts what is before the first blank of a page and after its last, which is nothing.
        "own_wikitext word_perplexity": math.exp(nats / (words["num_words"] + 2 * len(pages))),
        **{f"own_lambada {name}": lambada[name] for name in ("perplexity", "acc")},
        **{f"own_hellaswag {name}": hellaswag[name] for name in ("acc", "acc_norm", "acc_bytes")},
    }


def harness_figures(model: lm_eval.api.model.LM, folder: str) -> dict[str, float]:
    """The figures by the harness."""
    found = lm_eval.simple_evaluate(
        model=model,
        tasks=list(CONFIGURATIONS),
        task_manager=TaskManager(include_path=folder, include_defaults=False),
        bootstrap_iters=0,
    )
    return {
        f"{task} {key.split(',')[0]}": value
        for task, metrics in found["results"].items()
        for key, value in metrics.items()
        if isinstance(value, float) and "stderr" not in key
    }


def write_tasks(folder: Path, lm: LanguageModel) -> None:
    """Write the harness's configurations and their data."""
    write_data(folder, lm)
    (folder / "words.py").write_text(WORDS)
    for name, configuration in CONFIGURATIONS.items():
        head = (
            f"task: {name}\ndataset_path: json\ntest_split: test\n"
            f"dataset_kwargs: {{data_files: {{test: {folder / name}.jsonl}}}}\n"
        )
        (folder / f"{name}.yaml").write_text(head + configuration.lstrip())


def write_data(folder: Path, lm: LanguageModel) -> None:
    """Write small data sets from plays that the bundle has not been trained on.

    So small a model is never right; some answers are what it says itself.
    """
    play = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text()[-60_000:]
    speeches = [speech.strip() for speech in play.split("\n\n") if 80 < len(speech) < 350]
    said = [speech.rpartition(" ")[0] for speech in speeches[60:80]]
    ended = [before + one.text for before, one in zip(said, lm.generate(said), strict=True)]
    rows = {
        "own_text": [{"text": play[start : start + 1500].strip()} for start in range(0, 6000, 1500)],
        "own_wikitext": [{"page": page} for page in pages(speeches)],
        "own_lambada": [{"text": speech.rstrip(".;:,!?")} for speech in speeches[:60]]
        + [
            {"text": one[: one.index(" ", len(before) + 1)]}
            for before, one in zip(said, ended, strict=True)
            if one[len(before)] == " " and " " in one[len(before) + 1 :]
        ],
        "own_hellaswag": [
            {
                "activity_label": "Play",
                "ctx_a": speech.split("\n")[0] + " [title] he spoke.",
                "ctx_b": "then",
                "endings": [f"{speeches[(n + gap) % len(speeches)][-60:]}" for gap in (3, 0, 7, 9)],
                "label": str(n % 4),
            }
            for n, speech in enumerate(speeches[:50])
        ],
    }
    for name, values in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))


def pages(speeches: list[str]) -> Iterator[str]:
    """Texts in WikiText's manner, with tokens taken apart."""
    for number in range(3):
        body = speeches[number].replace("\n", " ").replace(",", " ,").replace(".", " .").replace("'s", " 's")
        yield f" = Speech {number} = \n \n {body.strip()} \n = = Part = = \n well @-@ known , 2 @,@ 000 . \n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
