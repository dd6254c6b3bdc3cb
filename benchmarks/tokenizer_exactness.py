"""Compare our ids with `tokenizers`, tiktoken and the graph: ``tokenizer_exactness.py PATH... [--out FILE]``.

A PATH is a text file, a ``.json`` list of strings, a ``.bin`` of raw bytes, or a folder of Python sources.
Each is encoded with GPT-2's vocabulary and with one learned from them all, with a special token more.
Beside them come every code point, alone and in company, and fuzz strings. Prints a JSON object whose
`differences` must be 0; the exit code is 1 if they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tiktoken
import tokenizers
from machine import versions
from tiktoken_ext.openai_public import r50k_pat_str

from kerasgpt.artifacts import TOKENIZER
from kerasgpt.atomic import write_text
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT, byte_alphabet

BATCH_SIZE = 256
LEARNED_SIZE = 8000  # ids
COMPANY = ["{}", "a{}a", " {} ", "1{}1"]  # with GPT-2's vocabulary, each a text of its own
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
        self.graph = Graph(tokenizer) if in_graph else None
        self.num_texts = self.num_bytes = self.differences = 0

    def check(self, texts: list[str], batch_size: int = BATCH_SIZE) -> None:
        """Compare the engines on texts, and that each text comes back."""
        for start in range(0, len(texts), batch_size):
            batch = texts[start : start + batch_size]
            rows = self.ours.encode_batch(batch)
            self._count("decode", batch, batch, self.ours.decode_batch(rows))
            for name, encode in self.others.items():
                self._count(name, batch, rows, encode(batch))
            if self.graph:
                ids, decoded = self.graph.there_and_back([text.encode() for text in batch])
                self._count("in_graph", batch, rows, ids)
                self._count("in_graph, decode", batch, batch, decoded)
            self.num_texts += len(batch)
            self.num_bytes += sum(len(text.encode()) for text in batch)

    def check_bytes(self, rows: list[bytes]) -> None:
        """Compare the ids of raw bytes with tiktoken's, and that they come back; the graph reads U+FFFD."""
        ids = [self.ours.encode_bytes(data) for data in rows]
        self._count("tiktoken, bytes", rows, ids, [self.tiktoken._encode_bytes(data) for data in rows])
        self._count("decode, bytes", rows, rows, [self.ours.decode_bytes(row) for row in ids])
        if self.graph:
            texts = [data.decode("utf-8", "replace") for data in rows]
            found, decoded = self.graph.there_and_back(rows)
            self._count("in_graph, bytes", rows, self.ours.encode_batch(texts), found)
            self._count("in_graph, bytes, decode", rows, texts, decoded)
        self.num_texts += len(rows)
        self.num_bytes += sum(map(len, rows))

    def _count(self, name: str, texts: list[Any], right: list[Any], found: list[Any]) -> None:
        for text, ids, others in zip(texts, right, found, strict=True):
            if ids != others:
                self.differences += 1
                print(f"{name} differs on {text[:80]!r}", file=sys.stderr)


class Graph:
    """The tokenizer in the graph, traced once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        import tensorflow as tf

        from kerasgpt.in_graph.tokenizer import InGraphTokenizer

        graph = InGraphTokenizer.from_tokenizer(tokenizer)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def there_and_back(texts: Any) -> tuple[Any, Any]:
            ids = graph.encode(texts)
            return ids, graph.decode(ids.to_tensor(), ids.row_lengths())

        self._there_and_back = there_and_back

    def there_and_back(self, texts: list[bytes]) -> tuple[list[list[int]], list[str]]:
        """The ids of texts, and the texts again."""
        ids, decoded = self._there_and_back(texts)
        values, ends = ids.values.numpy().tolist(), ids.row_limits().numpy().tolist()
        rows = [values[start:end] for start, end in pairwise([0, *ends])]
        return rows, [text.decode() for text in decoded.numpy()]


def learned(paths: list[Path]) -> Tokenizer:
    """A vocabulary of the texts themselves."""
    texts = (text for path in paths for texts in texts_of(path) for text in texts)
    return Tokenizer.learn(texts, LEARNED_SIZE, special_tokens=["<|user|>"])


def revealing() -> Tokenizer:
    """A vocabulary whose ids show where words end: any byte joins a letter, digit, mark or tab after it."""
    return Tokenizer.from_merges([(character, after) for after in "a1!ĉ" for character in byte_alphabet()])


def code_points(form: str) -> list[str]:
    """Every code point in some company."""
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    return [form.replace("{}", point) for point in points]


def fuzz(seed: int, count: int) -> list[str]:
    """Random strings of difficult characters."""
    generator = random.Random(seed)
    return ["".join(generator.choices(ALPHABET, k=generator.randrange(60))) for _ in range(count)]


def texts_of(path: Path) -> Iterator[list[str]]:
    """A file's texts: whole and line by line; malformed UTF-8 with replacement characters."""
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        if "site-packages" in file.relative_to(path).parts:
            continue  # of a standard library, what is installed beside it
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

    in_graph = not options.without_graph
    gpt2 = Engines(Tokenizer.from_preset("gpt2"), in_graph=in_graph)
    own = Engines(learned(options.paths), in_graph=in_graph)
    words = Engines(revealing(), in_graph=in_graph)
    texts_of_each = {}
    for path in options.paths:
        before = gpt2.num_texts
        for engines in (gpt2, own):
            for texts in texts_of(path):
                engines.check(texts)
            if path.suffix == ".bin":
                engines.check_bytes([path.read_bytes()])
                engines.check_bytes(path.read_bytes().splitlines(keepends=True))
        texts_of_each[path.name] = gpt2.num_texts - before
        print(f"{path.name}: {texts_of_each[path.name]} texts", file=sys.stderr)
    strings = [*fuzz(options.seed, options.fuzz), f"a{END_OF_TEXT}b", "<|user|>"]
    for engines in (gpt2, own, words):
        engines.check(strings)
    for form in COMPANY:
        gpt2.check(code_points(form), batch_size=4096)
    words.check(code_points("{}a{}1{}!{}\t\t"), batch_size=4096)

    every = (gpt2, own, words)
    result = {
        "differences": sum(engines.differences for engines in every),
        "compared": ["decode", *gpt2.others, *(["in_graph", "in_graph, decode"] if in_graph else [])],
        "vocabularies": {"gpt2": gpt2.num_texts, "learned": own.num_texts, "revealing": words.num_texts},
        "num_texts": sum(engines.num_texts for engines in every),
        "num_bytes": sum(engines.num_bytes for engines in every),
        "texts_of_each_path": texts_of_each,
        "code_points": [*COMPANY, "{}a{}1{}!{}\t\t"],
        "fuzz_seed": options.seed,
        "fuzz_strings": options.fuzz,
        "versions": versions("tokenizers", "tiktoken", "tensorflow"),
    }
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    return int(result["differences"] > 0)


if __name__ == "__main__":
    sys.exit(main())
