"""A bundle needs nothing of ours: greedy text from plain onnxruntime, tokenizers and numpy.

    python examples/03_few_lines_of_onnx.py [BUNDLE]

A second; without BUNDLE half a minute more, in which 02_export.py makes one. Expect the very text that
`kerasgpt generate BUNDLE --prompt ROMEO:` prints, here as a Python string.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def generate(bundle: Path, prompt: str) -> str:
    config = json.loads((bundle / "config.json").read_text())
    max_new_tokens = json.loads((bundle / "generation_config.json").read_text())["max_new_tokens"]
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    session = onnxruntime.InferenceSession(bundle / "onnx" / "model.onnx")

    # One (batch, heads, columns, width of a head) array a layer and part, of no columns at first.
    parts = [f"{layer}.{part}" for layer in range(config["n_layer"]) for part in ("key", "value")]
    head_dim = config["n_embd"] // config["n_head"]
    cache = [np.zeros((1, config["n_head"], 0, head_dim), np.float32) for _ in parts]

    ids = tokenizer.encode(prompt).ids
    new, num_prompt_tokens = ids, len(ids)
    for _ in range(min(max_new_tokens, config["n_positions"] - num_prompt_tokens)):
        feeds = {
            "input_ids": np.array([new], np.int64),
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "position_ids": np.arange(len(ids) - len(new), len(ids), dtype=np.int64)[None],
            **{f"past_key_values.{part}": array for part, array in zip(parts, cache, strict=True)},
        }
        outputs = ["logits", *(f"present.{part}" for part in parts)]
        logits, *cache = session.run(outputs, feeds)
        new = [int(logits[0, -1].argmax())]
        ids = ids + new
        if new[0] == config["eos_token_id"]:
            break
    return tokenizer.decode(ids[num_prompt_tokens:])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        if len(sys.argv) < 2:
            script = Path(__file__).with_name("02_export.py")
            subprocess.run([sys.executable, script, temporary], check=True)
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary) / "bundle"
        print(repr(generate(given, "ROMEO:")))
