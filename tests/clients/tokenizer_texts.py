"""Folders that a tokenizer has written, and texts to encode with them: what clients of tokenizers compare."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from kerasgpt.tokenizer.bpe import Tokenizer

SEED = 20261124
SPECIAL_TOKENS = ["<|user|>", "<|user|>>", "<|model|>"]
ALPHABET = (
    "aabst'remvlld  \n\t!.<|>1239éßñ漢字я²½Ⅷ'' \r\x0b\x1c\x85\u00a0\u3000\u200b\u0301🙂👨\u200d\0\ufeff\ufffd"
)
TRICKY = [
    " ",
    "a.\n\nb",
    "naïve 北京 🙂 don't 12345",
    "\t\r\n x  y   ",
    "I'M you'll 's\u2019s",
    "a<|endoftext|>b",
    "<|user|>Hello\n<|model|><|user|>>",
    "<|endof<|endoftext|>text|>",
]


def saved_tokenizers(bundle: str, scratch: Path) -> Iterator[tuple[Tokenizer, Path]]:
    """GPT-2's own, one learned whose texts end with another special token, and the exported one."""
    shakespeare = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    learned = Tokenizer.learn([shakespeare], 2000, special_tokens=SPECIAL_TOKENS)
    chat = Tokenizer(
        learned.vocabulary, learned.merges, learned.special_tokens, end_of_text=SPECIAL_TOKENS[0]
    )
    for name, tokenizer in {"gpt2": Tokenizer.from_preset("gpt2"), "chat": chat}.items():
        tokenizer.save_to_preset(scratch / name, max_sequence_length=1024)
        yield tokenizer, scratch / name
    yield Tokenizer.from_preset(bundle), Path(bundle)


def texts(without: str) -> list[str]:
    """Tricky ones, lines of a corpus, every assigned code point in company, and fuzz strings.

    Args:
        without: characters that a client is known to read otherwise.
    """
    shakespeare = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    ranges = [(0, 0xD800), (0xE000, 0x32400), (0xE0000, 0xE0200)]
    points = [chr(point) for start, stop in ranges for point in range(start, stop)]
    company = [f"a{point}a {point} 1{point}1 {point}{point}\n" for point in points if point not in without]
    alphabet = [character for character in ALPHABET if character not in without]
    generator = random.Random(SEED)
    return [
        *TRICKY,
        *shakespeare[:60_000].splitlines(keepends=True),
        *("".join(company[start : start + 50]) for start in range(0, len(company), 50)),
        *("".join(generator.choices(alphabet, k=generator.randrange(1, 40))) for _ in range(3000)),
    ]


def first_difference(name: str, texts: list[str], ours: list, theirs: list) -> list[str]:
    """No problem, or one that counts the texts on which a client differs and shows the first."""
    rows = zip(texts, ours, theirs, strict=True)
    wrong = [(text, mine, other) for text, mine, other in rows if mine != other]
    if not wrong:
        return []
    text, mine, other = wrong[0]
    return [f"{name} differs on {len(wrong)} texts; the first is {text[:60]!r}: {other}, ours {mine}"[:400]]
