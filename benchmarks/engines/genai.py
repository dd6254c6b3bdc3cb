"""ONNX Runtime GenAI over our bundle: ``python genai.py BUNDLE PRECISION``; no text."""

import sys
from pathlib import Path

import onnxruntime_genai as og
from worker import Write, serve


def load(bundle: str, precision: str) -> Write:
    """Open the fast file of a precision by its overlay."""
    config = og.Config(bundle)
    config.overlay((Path(bundle) / "genai" / f"{precision}.json").read_text())
    model = og.Model(config)

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        width = len(prompts[0])
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=width + num_tokens, batch_size=len(prompts), do_sample=False)
        generator = og.Generator(model, params)
        generator.append_tokens([index for prompt in prompts for index in prompt])
        while not generator.is_done():
            generator.generate_next_token()
        return [generator.get_sequence(row).tolist()[width:] for row in range(len(prompts))]

    return write


if __name__ == "__main__":
    serve(og.__version__, lambda: load(*sys.argv[1:]))
