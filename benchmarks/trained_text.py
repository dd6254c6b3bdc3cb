"""How fast a SavedModel of 124M's size writes what a trained model says, in turn with keras-hub.

``python benchmarks/trained_text.py MODEL TEXT [--peers PYTHON] [--preset NAME] [--rounds N]``

What a step drafts depends on the text, and random weights write none. MODEL is the folder of a small trained
GPT-2, which is widened to the sizes of a large one and writes there what it wrote before
(`widened_model.py`); TEXT is a file that it was not trained on, whose lines begin the texts. They are written
one at a time, greedily, each engine in a process of its own, all in turns. Adds what it finds to
benchmarks/results/trained_text.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from decode_latency import HERE, SHORT_PROMPT, Engine
from machine import machine, versions
from widened_model import widened

import kerasgpt
from kerasgpt.artifacts import write_json
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.export.saved_model import write_saved_model

RESULTS = HERE / "results" / "trained_text.json"


def main() -> None:
    """Widen, write the file, measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--peers", help="Python of an environment with keras-hub")
    parser.add_argument("--preset", default="gpt2")
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64, help="written in each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", help="of the result; default: that of the file")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    texts = texts_of(arguments.model, arguments.text, arguments.texts, arguments.tokens)
    with tempfile.TemporaryDirectory() as scratch:
        write_widened(arguments.model, GPT2Config.from_preset(arguments.preset), Path(scratch))
        ours = [sys.executable, str(HERE / "engines/saved_model.py"), f"{scratch}/saved_model"]
        commands = {"SavedModel": ours, "SavedModel, no drafts": [*ours, "1.000001"]}
        if arguments.peers:
            script = str(HERE / "engines/kerashub.py")
            commands["keras-hub float32"] = [arguments.peers, script, scratch, "float32"]
        found = measure(commands, texts, arguments.tokens, arguments.rounds)
    facts = {"machine": machine(), "versions": versions("tensorflow", "numpy")}
    sizes = {"preset": arguments.preset, "prompt_tokens": SHORT_PROMPT, "new_tokens": arguments.tokens}
    content = {**facts, **sizes, "num_rounds": arguments.rounds, **found}
    everything = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    write_json(arguments.out, {**everything, arguments.name or arguments.text.stem: content})
    print(json.dumps(content, indent=2))


def texts_of(model: Path, path: Path, number: int, num_tokens: int) -> list[tuple[list[int], list[int]]]:
    """Pairs of a prompt, from all over the file, and the tokens that the model writes after it, as many."""
    language_model = kerasgpt.load(model)
    lines = path.read_text(encoding="utf-8").splitlines()
    prompts = [language_model.tokenizer.encode(line)[:SHORT_PROMPT] for line in lines[:: len(lines) // 200]]
    prompts = [prompt for prompt in prompts if len(prompt) == SHORT_PROMPT]
    written = language_model.generate(prompts, kerasgpt.GenerationConfig(max_new_tokens=num_tokens))
    pairs = zip(prompts, (generation.token_ids for generation in written), strict=True)
    end = language_model.tokenizer.end_of_text_id
    whole = [pair for pair in pairs if end not in pair[1]]  # engines other than ours would write on
    return whole[:: len(whole) // number][:number]


def write_widened(model: Path, large: GPT2Config, folder: Path) -> None:
    """The SavedModel of the model in another's sizes, and config.json, which is all that keras-hub reads."""
    small, tokenizer = kerasgpt.GPT2CausalLM.from_preset(model), kerasgpt.Tokenizer.from_preset(model)
    weights = widened(small.config, named_arrays(small), large)
    write_saved_model(large, weights, tokenizer, kerasgpt.GenerationConfig(), folder / "saved_model")
    write_json(folder / "config.json", large.to_huggingface())


def measure(
    commands: dict[str, list[str]],
    texts: list[tuple[list[int], list[int]]],
    num_tokens: int,
    num_rounds: int,
) -> dict[str, Any]:
    """Tokens a second of each engine, and the ratios of the first to the others round by round."""
    engines = {name: Engine(command) for name, command in commands.items()}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(num_rounds + 1):
        for name, engine in engines.items():
            engine.ask([texts[0][0]], num_tokens)  # wakes it up: others have had the machine in between
            answers = [engine.ask([prompt], num_tokens) for prompt, _ in texts]
            if "keras-hub" not in name:  # whose weights are random
                for answer, (_, expected) in zip(answers, texts, strict=True):
                    assert answer["first_ids"] == expected[: len(answer["first_ids"])], "another text"
            if number:  # the first round warms up
                seconds[name].append(sum(answer["seconds"] for answer in answers))
        print(f"round {number} of {num_rounds}", file=sys.stderr)
    first, *others = engines
    ratios = {
        name: sorted(other / own for own, other in zip(seconds[first], seconds[name], strict=True))
        for name in others
    }
    total = num_tokens * len(texts)
    return {
        "num_texts": len(texts),
        "versions_of_engines": {name: engine.loaded["version"] for name, engine in engines.items()},
        "tokens_per_second": {
            name: round(total / statistics.median(spent), 1) for name, spent in seconds.items()
        },
        "ratios": {
            name: {
                "median": round(statistics.median(values), 3),
                "lowest": round(values[0], 3),
                "highest": round(values[-1], 3),
            }
            for name, values in ratios.items()
        },
    }


if __name__ == "__main__":
    main()
