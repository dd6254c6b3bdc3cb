"""Ours: ``python ours.py BUNDLE PRECISION [huge_pages]``; loop, choice of tokens and text included."""

import sys

from worker import Write, serve

import kerasgpt


def load(bundle: str, precision: str, *settings: str) -> Write:
    """Open the fast file of a precision."""
    lm = kerasgpt.load(bundle, "onnx", precision, huge_pages="huge_pages" in settings)

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        settings = kerasgpt.GenerationConfig(max_new_tokens=num_tokens)
        return [found.token_ids for found in lm.generate(prompts, settings)]

    return write


if __name__ == "__main__":
    serve(kerasgpt.__version__, lambda: load(*sys.argv[1:]))
