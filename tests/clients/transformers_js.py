"""Saved tokenizers load in transformers.js, with our ids and our texts: asks transformers_js.mjs in Node."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizer_texts import first_difference, saved_tokenizers, texts

HERE = Path(__file__).parent
ENVIRONMENT = Path(sys.executable).parents[1]  # Node's packages lie in the same folder as Python's

JAVASCRIPT_OTHERWISE = "\x85\ufeff"  # the second a space in its regular expressions, the first none


def main(bundle: str) -> int:
    """Compare ids of texts, special tokens recognised, and the texts that come back."""
    everything = texts(without=JAVASCRIPT_OTHERWISE)
    problems = []
    with tempfile.TemporaryDirectory() as scratch:
        for ours, folder in saved_tokenizers(bundle, Path(scratch)):
            answer = ask(folder, everything)
            ids = ours.encode_batch(everything, allowed_special="all")
            back = [ours.decode(row) for row in ids]
            problems += first_difference(folder.name, everything, ids, answer["ids"])
            problems += first_difference(f"{folder.name}, decode", everything, back, answer["texts"])
            if answer["class"] != "GPT2Tokenizer":
                problems.append(f"{folder.name} loads as {answer['class']}")
    print(
        f"       transformers.js {answer['version']}: {len(everything)} texts there and back, with three"
        " vocabularies"
    )
    for problem in problems:
        print(f"transformers_js: {problem}", file=sys.stderr)
    return int(bool(problems))


def ask(folder: Path, everything: list[str]) -> dict:
    """What transformers.js makes of texts: its version, the tokenizer's class, ids, and texts again."""
    command = ["node", HERE / "transformers_js.mjs", ENVIRONMENT, folder]
    child = subprocess.run(
        command, input=json.dumps(everything), stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    return json.loads(child.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
