"""Compare our ids with `tokenizers`, tiktoken and the graph: ``tokenizer_exactness.py PATH... [--out FILE]``.

A PATH is a text file, a ``.json`` list of strings, a ``.bin`` of raw bytes, or a folder of Python sources.
Beside them come every code point, alone and in company, and fuzz strings. Prints a JSON object whose
`differences` must be 0; the exit code is 1 if they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tiktoken
import tokenizers
from tiktoken_ext.openai_public import r50k_pat_str

from kerasgpt.artifacts import TOKENIZER
from kerasgpt.atomic import write_text
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT, byte_alphabet

BATCH_SIZE = 256
COMPANY = ["{}", "a{} 1{}!"]  # with GPT-2's vocabulary; the revealing one sees each kind of neighbour
ALPHABET = (
    "aabst'remvlld  \n\t!.<|>1239éßñ漢字я²½Ⅷ'' \r\x0b\x1c\x85\u00a0\u3000\u200b\u0301🙂👨\u200d\0\ufeff\ufffd"
)
Encode = Callable[[list[str]], list[list[int]]]


class Engines:
    """One vocabulary in every engine; counts texts, bytes and differences from ours."""

    def __init__(self, tokenizer: Tokenizer, *, in_graph: bool) -> None:
        self.ours = tokenizer
        tokenizer.encode("long enough for tiktoken " * 10_000)
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_to_preset(folder)
            library = tokenizers.Tokenizer.from_file(f"{folder}/{TOKENIZER}")
        library.encode_special_tokens = True
        ranks = {piece: index for index, piece in enumerate(tokenizer.pieces) if piece}
        self.tiktoken = tiktoken.Encoding(
            "reference", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={}
        )
        self.others: dict[str, Encode] = {
            "tokenizers": lambda texts: [encoding.ids for encoding in library.encode_batch_fast(texts)],
            "tiktoken": lambda texts: [self.tiktoken.encode_ordinary(text) for text in texts],
        }
        if in_graph:
            self.others["in_graph"] = graph_encoder(tokenizer)
        self.num_texts = self.num_bytes = self.differences = 0

    def check(self, texts: list[str]) -> None:
        """Compare the engines on texts, and that each text comes back."""
        for start in range(0, len(texts), BATCH_SIZE):
            batch = texts[start : start + BATCH_SIZE]
            rows = self.ours.encode_batch(batch)
            self._count("decode", batch, batch, self.ours.decode_batch(rows))
            for name, encode in self.others.items():
                self._count(name, batch, rows, encode(batch))
            self.num_texts += len(batch)
            self.num_bytes += sum(len(text.encode()) for text in batch)

    def check_bytes(self, data: bytes) -> None:
        """Compare the ids of raw bytes with tiktoken's, and that they come back."""
        ids = self.ours.encode_bytes(data)
        self._count("tiktoken, bytes", [data], [ids], [self.tiktoken._encode_bytes(data)])
        self._count("decode, bytes", [data], [data], [self.ours.decode_bytes(ids)])

    def _count(self, name: str, texts: list[Any], right: list[Any], found: list[Any]) -> None:
        for text, ids, others in zip(texts, right, found, strict=True):
            if ids != others:
                self.differences += 1
                print(f"{name} differs on {text[:80]!r}", file=sys.stderr)


def graph_encoder(tokenizer: Tokenizer) -> Encode:
    """The tokenizer in the graph, traced once."""
    import tensorflow as tf

    from kerasgpt.in_graph.tokenizer import InGraphTokenizer

    graph = InGraphTokenizer.from_tokenizer(tokenizer)
    encode = tf.function(graph.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    return lambda texts: encode(tf.constant([text.encode() for text in texts])).to_list()


def revealing() -> Tokenizer:
    """A vocabulary whose ids show where words end: any byte joins a letter, digit, mark or tab after it."""
    return Tokenizer.from_merges([(character, after) for after in "a1!ĉ" for character in byte_alphabet()])


def code_points(form: str) -> list[str]:
    """Every code point in some company, two hundred to a text."""
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    texts = [form.replace("{}", point) for point in points]
    return ["\n\n".join(texts[start : start + 200]) for start in range(0, len(texts), 200)]


def fuzz(seed: int, count: int) -> list[str]:
    """Random strings of difficult characters."""
    generator = random.Random(seed)
    return ["".join(generator.choices(ALPHABET, k=generator.randrange(60))) for _ in range(count)]


def texts_of(path: Path) -> Iterator[list[str]]:
    """A file's texts: whole and line by line; malformed UTF-8 with replacement characters."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    for file in files:
        text = file.read_bytes().decode("utf-8", "replace")
        if file.suffix == ".json":
            yield [str(item) for item in json.loads(text)]
        else:
            yield [text]
            yield text.splitlines(keepends=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--fuzz", type=int, default=20_000)
    parser.add_argument("--without-graph", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)

    gpt2 = Engines(Tokenizer.from_preset("gpt2"), in_graph=not options.without_graph)
    words = Engines(revealing(), in_graph=not options.without_graph)
    num_texts = {}
    for path in options.paths:
        before = gpt2.num_texts
        for texts in texts_of(path):
            gpt2.check(texts)
        if path.suffix == ".bin":
            for line in [path.read_bytes(), *path.read_bytes().splitlines(keepends=True)]:
                gpt2.check_bytes(line)
        num_texts[path.name] = gpt2.num_texts - before
    strings = fuzz(options.seed, options.fuzz)
    gpt2.check([*strings, f"a{END_OF_TEXT}b"])
    words.check(strings)
    for form in COMPANY:
        gpt2.check(code_points(form))
    words.check(code_points("{}a{}1{}!{}\t\t"))

    result = {
        "differences": gpt2.differences + words.differences,
        "compared": ["ours", "decode", *gpt2.others],
        "num_texts": gpt2.num_texts + words.num_texts,
        "num_bytes": gpt2.num_bytes + words.num_bytes,
        "texts_of_each_path": num_texts,
        "fuzz_seed": options.seed,
        "fuzz_strings": options.fuzz,
        "versions": {name: metadata.version(name) for name in ("tokenizers", "tiktoken", "tensorflow")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    return int(result["differences"] > 0)


if __name__ == "__main__":
    sys.exit(main())
