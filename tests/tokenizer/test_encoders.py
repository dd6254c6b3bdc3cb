"""tiktoken gives the ids of `tokenizers`, on any code point, text and vocabulary; or it is not used."""

import json
import random
import subprocess
import sys
from importlib import resources

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.encoders import has_long_blank, library_encode_batch, tiktoken_encoder
from kerasgpt.tokenizer.vocabulary import byte_alphabet, learned_vocabulary


class Engines:
    """One vocabulary in both engines."""

    def __init__(self, vocabulary, merges, special_tokens=()):
        self.library = tokenizers.Tokenizer(models.BPE(dict(vocabulary), list(merges)))
        merger = tokenizers.Tokenizer(models.BPE(dict(vocabulary), list(merges)))
        self.library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        self.fast = tiktoken_encoder(vocabulary, merges, special_tokens, merger)

    def check(self, texts):
        rows = zip(
            texts, self.fast.encode_batch(texts), library_encode_batch(self.library, texts), strict=True
        )
        wrong = [row for row in rows if row[1] != row[2]]
        assert not wrong, f"{len(wrong)} of {len(texts)} differ, the first: {wrong[0]}"


@pytest.fixture(scope="module")
def gpt2():
    tokenizer = Tokenizer.from_preset("gpt2")
    return Engines(tokenizer.vocabulary, tokenizer.merges)


@pytest.fixture(scope="module")
def learned(shakespeare):
    tokenizer = Tokenizer.learn([shakespeare], 700)
    return Engines(tokenizer.vocabulary, tokenizer.merges)


def revealing():
    """A vocabulary whose ids show where words end: any byte joins a letter, digit, mark or tab after it."""
    merges = [(character, after) for after in "a1!ĉ" for character in byte_alphabet()]
    return Engines(learned_vocabulary(merges), merges)


def test_every_assigned_code_point_is_of_the_same_kind():
    """A code point is one word with the letter, the digit, the mark or the tabs after it, or with none."""
    points = [
        *range(0xD800),
        *range(0xE000, 0x32400),
        *range(0x32400, 0x110000, 251),
        *range(0xE0000, 0xE0200),
    ]
    texts = [f"{point}a{point}1{point}!{point}\t\t" for point in map(chr, points)]
    revealing().check(["".join(texts[start : start + 5000]) for start in range(0, len(texts), 5000)])


def test_the_vocabulary_reveals_words():
    engines = revealing()
    num_ids = {
        text: len(ids)
        for text in ("éa", "é1", "!!", " 1", "\u3000\t\ta")
        for ids in engines.fast.encode_batch([text])
    }
    assert num_ids == {"éa": 2, "é1": 3, "!!": 1, " 1": 1, "\u3000\t\ta": 5}


ALPHABET = (
    "aabst'remvlld  \n\t!.<|>1239éßñ漢字я²½Ⅷ'' \r\x0b\x1c\x85\u00a0\u3000\u200b\u0301🙂👨\u200d\0\ufeff\ufffd"
)


def fuzz(seed, count, alphabet):
    generator = random.Random(seed)
    return ["".join(generator.choices(alphabet, k=generator.randrange(40))) for _ in range(count)]


def test_random_texts(gpt2, learned):
    for engines in (gpt2, learned):
        engines.check(fuzz(20261123, 5000, ALPHABET))


def test_a_corpus(gpt2, learned):
    text = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    gpt2.check([text])
    learned.check(text.splitlines(keepends=True))


@pytest.mark.parametrize(
    "text", ["a" * 30_000, "=" * 30_000, " " * 90_000 + "x", "漢" * 5000, "ab" * 9000, ""]
)
def test_long_words(gpt2, text):
    gpt2.check([text])


def scrambled(seed):
    """Merges in random order, several of them making the same piece."""
    generator = random.Random(seed)
    pool, merges = list("ab'sĠ1"), {}
    while len(merges) < generator.randrange(4, 60):
        left, right = generator.choice(pool), generator.choice(pool)
        if len(left + right) <= 6:
            merges[left, right] = None
            pool.append(left + right)
    order = list(merges)
    generator.shuffle(order)
    return order


def test_scrambled_merges_are_refused_or_equal():
    """Where tiktoken is taken it must be right; and both answers must come up."""
    taken = 0
    texts = fuzz(2, 300, "aaabbb's 1")
    for seed in range(300):
        merges = scrambled(seed)
        engines = Engines(learned_vocabulary(merges), merges)
        if engines.fast:
            taken += 1
            engines.check(texts)
    assert 10 < taken < 290


def test_refusing_was_right_where_a_piece_does_not_come_of_its_own_bytes():
    merges = [("b", "c"), ("a", "b"), ("ab", "c")]  # a b c -> a bc, which is no merge; tiktoken would join it
    engines = Engines(learned_vocabulary(merges), merges)
    assert engines.fast is None
    assert engines.library.encode("abc").ids == [97, 256]


@pytest.mark.parametrize("seed", range(3))
def test_ids_in_any_order(shakespeare, seed):
    """As in RoBERTa's vocabulary: GPT-2's merges, other numbers."""
    tokenizer = Tokenizer.learn([shakespeare], 500)
    ids = list(tokenizer.vocabulary.values())
    random.Random(seed).shuffle(ids)
    engines = Engines(dict(zip(tokenizer.vocabulary, ids, strict=True)), tokenizer.merges)
    engines.check([shakespeare[:5000], *fuzz(seed, 300, ALPHABET)])


def test_pieces_that_nothing_makes_are_never_given(learned):
    """A vocabulary may hold more than its merges make: tiktoken must not find it."""
    vocabulary = learned_vocabulary([("a", "b")])
    engines = Engines({**vocabulary, "abc": len(vocabulary), "cd": len(vocabulary) + 1}, [("a", "b")])
    engines.check(["abc cd abcd", "abc"])


@pytest.mark.parametrize(
    ("vocabulary", "merges", "special"),
    [
        ({name: i for i, name in enumerate(c for c in byte_alphabet() if c != "b")}, [], ()),
        (learned_vocabulary([("a", "b")]), [("a", "b")], ["ab"]),
        ({**learned_vocabulary([]), "北": 257, "北北": 258}, [("北", "北")], ()),
    ],
)
def test_vocabularies_that_tiktoken_cannot_hold_are_left_to_the_library(vocabulary, merges, special):
    assert Engines(vocabulary, merges, special).fast is None


def test_a_batch_has_its_rows_in_order_whatever_the_threads(gpt2, shakespeare):
    texts = [shakespeare[start : start + 999] for start in range(0, 60_000, 999)] * 4 + [""]
    assert gpt2.fast.encode_batch(texts) == [gpt2.fast.encode_batch([text])[0] for text in texts]
    assert gpt2.fast.encode_batch([]) == []


def test_long_blanks_are_seen():
    assert has_long_blank(" " * 100_000)
    assert has_long_blank("x" * 7 + "\n \u3000\t" * 30_000 + "x")
    assert not has_long_blank(" x" * 100_000)
    assert not has_long_blank("")


def test_the_tokenizer_takes_tiktoken_for_long_texts_only(monkeypatch):
    tokenizer = Tokenizer.from_preset("gpt2")
    tokenizer.encode("a short prompt")
    assert "_tiktoken" not in vars(tokenizer)
    text = "It takes tiktoken for this.\n" * 10_000
    ids = tokenizer.encode(text)
    assert vars(tokenizer)["_tiktoken"] is not None
    assert ids == library_encode_batch(tokenizer._backend, [text])[0]
    monkeypatch.setattr(type(tokenizer._tiktoken), "encode_batch", None)  # what would fail on a long blank
    blank = " " * 400_000 + "x"
    assert tokenizer.decode(tokenizer.encode(blank)) == blank


def test_a_vocabulary_that_is_not_for_tiktoken_encodes_all_the_same():
    merges = [("b", "c"), ("a", "b"), ("ab", "c")]
    tokenizer = Tokenizer.from_merges(merges)
    text = "abc " * 60_000
    assert tokenizer.encode(text) == [97, 256, 32] * 60_000


def test_starting_needs_no_tiktoken():

    code = (
        "import json, sys\nfrom kerasgpt.tokenizer.bpe import Tokenizer\n"
        "ids = Tokenizer.from_preset('gpt2').encode('Hello world')\n"
        "print(json.dumps([ids, 'tiktoken' in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [[15496, 995], False]
