"""CTranslate2: ``python ct2.py MODEL COMPUTE_TYPE``, MODEL a Hugging Face folder; no text."""

import sys
import tempfile

import ctranslate2
from worker import Write, serve


def load(folder: str, compute_type: str) -> Write:
    """Convert a folder, and open it."""
    scratch = tempfile.mkdtemp(prefix="ct2-")
    converter = ctranslate2.converters.TransformersConverter(folder)
    converter.convert(scratch, quantization=None if compute_type == "float32" else compute_type, force=True)
    generator = ctranslate2.Generator(scratch, compute_type=compute_type)
    tokens = converter_tokens(scratch)

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        found = generator.generate_batch(
            [[tokens[index] for index in prompt] for prompt in prompts],
            max_length=num_tokens,
            min_length=num_tokens,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return [answer.sequences_ids[0] for answer in found]

    return write


def converter_tokens(folder: str) -> list[str]:
    """The tokens by their ids, as the converted model spells them."""
    import json
    from pathlib import Path

    return json.loads((Path(folder) / "vocabulary.json").read_text())


if __name__ == "__main__":
    serve(ctranslate2.__version__, lambda: load(*sys.argv[1:]))
