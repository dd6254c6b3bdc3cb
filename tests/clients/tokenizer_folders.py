"""Saved tokenizers load in `tokenizers`, transformers and ONNX Runtime GenAI, with our ids and our texts."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime_genai
import tokenizers
import transformers
from tokenizer_texts import first_difference, saved_tokenizers, texts

from kerasgpt.tokenizer.bpe import Tokenizer

# All that GenAI wants beside a tokenizer's files.
GENAI_CONFIG = {"model": {"type": "decoder", "context_length": 1024, "decoder": {}}, "search": {}}
# GenAI 0.18 takes C strings, which U+0000 ends, has its own mind of whether U+001C and U+0085 are spaces, and
# loses noncharacters when it decodes.
GENAI_OTHERWISE = "\0\x1c\x85\ufffe\uffff"
Encode = Callable[[str], list[int]]
Decode = Callable[[list[int]], str]


def main(bundle: str) -> int:
    """Compare ids of texts, special tokens recognised, and the texts that come back."""
    transformers.utils.logging.set_verbosity_error()  # it warns of texts beyond the context
    everything = texts(without=GENAI_OTHERWISE)
    problems = []
    with tempfile.TemporaryDirectory() as scratch:
        for ours, folder in saved_tokenizers(bundle, Path(scratch)):
            ids = ours.encode_batch(everything, allowed_special="all")
            back = [ours.decode(row) for row in ids]  # without special tokens, as GenAI's decode
            for client, (encode, decode) in clients(folder, Path(scratch)).items():
                name = f"{client}, {folder.name}"
                problems += first_difference(name, everything, ids, [encode(text) for text in everything])
                problems += first_difference(
                    f"{name}, decode", everything, back, [decode(row) for row in ids]
                )
            problems += fine_print(ours, folder, everything)
    print(
        f"       transformers {transformers.__version__}, tokenizers {tokenizers.__version__}, GenAI"
        f" {onnxruntime_genai.__version__}: {len(everything)} texts there and back, with three vocabularies"
    )
    for problem in problems:
        print(f"tokenizer_folders: {problem}", file=sys.stderr)
    return int(bool(problems))


def clients(folder: Path, scratch: Path) -> dict[str, tuple[Encode, Decode]]:
    """How each client encodes and decodes, as it comes out of a folder."""
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    hugging = transformers.AutoTokenizer.from_pretrained(folder)
    genai = onnxruntime_genai.Tokenizer(str(genai_folder(folder, scratch)))
    return {
        "tokenizers": (lambda text: library.encode(text).ids, library.decode),
        "transformers": (
            lambda text: hugging(text)["input_ids"],
            lambda ids: hugging.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
        ),
        "GenAI": (lambda text: genai.encode(text).tolist(), genai.decode),
    }


def genai_folder(folder: Path, scratch: Path) -> Path:
    """The tokenizer's files with a configuration beside them; no model is needed to tokenize."""
    copy = scratch / "genai" / folder.name
    copy.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).write_bytes((folder / name).read_bytes())
    (copy / "genai_config.json").write_text(json.dumps(GENAI_CONFIG))
    return copy


def fine_print(ours: Tokenizer, folder: Path, everything: list[str]) -> list[str]:
    """What transformers says of the special tokens, and how it reads them as plain text."""
    hugging = transformers.AutoTokenizer.from_pretrained(folder)
    plain = [hugging(text, split_special_tokens=True)["input_ids"] for text in everything]
    problems = first_difference(
        f"transformers, {folder.name}, plain", everything, ours.encode_batch(everything), plain
    )
    found = {
        "class": (type(hugging).__name__, "GPT2Tokenizer"),
        "size": (len(hugging), ours.vocabulary_size),
        "end of text": (hugging.eos_token_id, ours.end_of_text_id),
        "special tokens": (set(hugging.all_special_ids), set(ours.special_tokens.values())),
    }
    return problems + [f"its {name} is {value}, not {right}" for name, (value, right) in found.items()
                       if value != right]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
