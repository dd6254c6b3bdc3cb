"""The graph's ids against those of the `tokenizers` library; its text against Python's own decoder."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from kerasgpt.in_graph.characters import character_kinds
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.streaming import StreamingDecoder
from kerasgpt.tokenizer.vocabulary import byte_alphabet, learned_vocabulary

ASSETS = Path(str(resources.files("kerasgpt") / "assets"))
END_OF_TEXT = "<|endoftext|>"

WHITESPACE = ["a.\n\nb", "a  b", "a \n b", "\n\n", " ", "  ", "a ", "a  ", " a", "  a", "\t\ta", "a\n\n\n b"]
WHITESPACE += [
    " \n's",
    "\n 's",
    "\n\n's",
    "a\r\n\r\nb",
    "\u3000\u3000x",
    "x\u00a0\u00a0y",
    " \u2028 1",
    "1  2   3",
]
CONTRACTIONS = [
    "I'm you're he's we've they'll I'd don't",
    "'s't're've'm'll'd",
    "''s",
    "!'s",
    " 's",
    "  's",
    "1's",
]
CONTRACTIONS += [
    "'S'T'RE",
    "'l'r'v",
    "'",
    "a'",
    "'ve1",
    "'s s",
    "'sabc",
    "'re're",
    "'dd",
    "\u2019s",
    "x'll'",
    "'r'e",
]
MARKERS = [END_OF_TEXT, f"a{END_OF_TEXT}b", f" {END_OF_TEXT}\n{END_OF_TEXT}", "<|endof", "|>"]
LONG = ["", "a" * 3000, "ab" * 700, "=" * 777, " " * 300 + "x", "\u6f22\u5b57" * 200, "1234567890" * 30]


def backend_of(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE(dict(vocabulary), list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.encode_special_tokens = True
    return backend


class Pair:
    """One vocabulary in both forms: the library's and the graph's, traced once."""

    def __init__(self, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
        self.vocabulary, self.merges = dict(vocabulary), list(merges)
        self.backend = backend_of(vocabulary, merges)
        self.graph = InGraphTokenizer(vocabulary, merges, [len(vocabulary)])
        self.encode = tf.function(self.graph.encode, input_signature=[tf.TensorSpec([None], tf.string)])

    def check(self, texts: Sequence[str]) -> None:
        expected = [encoding.ids for encoding in self.backend.encode_batch_fast(list(texts))]
        actual = self.encode(tf.constant([text.encode() for text in texts], tf.string)).to_list()
        wrong = [
            (text, mine, theirs)
            for text, mine, theirs in zip(texts, actual, expected, strict=True)
            if mine != theirs
        ]
        assert not wrong, f"{len(wrong)} of {len(texts)} differ, the first: {wrong[0]}"


def with_end_of_text(vocabulary: Mapping[str, int]) -> dict[str, int]:
    return {**vocabulary, END_OF_TEXT: len(vocabulary)}


@pytest.fixture(scope="module")
def gpt2() -> Pair:
    tokenizer = Tokenizer.from_preset("gpt2")
    return Pair(tokenizer.vocabulary, tokenizer.merges)


@pytest.fixture(scope="module")
def shakespeare() -> list[str]:
    return (ASSETS / "tinyshakespeare.txt").read_text(encoding="utf-8").splitlines(keepends=True)


@pytest.fixture(scope="module")
def learned(shakespeare: list[str]) -> Pair:
    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    learner.train_from_iterator(shakespeare, trainer)
    model = json.loads(learner.to_str())["model"]
    return Pair(with_end_of_text(model["vocab"]), [(left, right) for left, right in model["merges"]])


def scrambled(seed: int, *, without: str = "") -> Pair:
    """A vocabulary nobody would learn: merges in random order, several making the same piece."""
    random_state = random.Random(seed)
    pieces = [character for character in byte_alphabet() if character not in without]
    pool = [character for character in "ab'sĠ1" if character not in without]
    merges: dict[tuple[str, str], None] = {}
    for _ in range(150):
        left, right = random_state.choice(pool), random_state.choice(pool)
        if len(left + right) <= 6:
            merges[left, right] = None
            pool.append(left + right)
    order = list(merges)
    random_state.shuffle(order)
    names = dict.fromkeys([*pieces, *("".join(pair) for pair in order)])
    return Pair(with_end_of_text({name: index for index, name in enumerate(names)}), order)


def fuzz(seed: int, count: int, alphabet: str) -> list[str]:
    random_state = random.Random(seed)
    return ["".join(random_state.choices(alphabet, k=random_state.randrange(40))) for _ in range(count)]


ALPHABET = "aabst'remvlld  \n\t!.<|>1239éßñ漢字я²½Ⅷ'' "
ALPHABET += "\u00a0\u3000\u200b\u0301\U0001f600\U0001f468\u200d\0\ufeff\ufffd"


@pytest.mark.parametrize("texts", [WHITESPACE, CONTRACTIONS, MARKERS, LONG])
def test_tricky_texts_have_the_librarys_ids(gpt2: Pair, learned: Pair, texts: list[str]) -> None:
    gpt2.check(texts)
    learned.check(texts)


def test_two_newlines_are_two_tokens(gpt2: Pair) -> None:
    assert gpt2.encode(["a.\n\nb"]).to_list() == [[64, 13, 198, 198, 65]]


def test_every_assigned_code_point_is_of_the_librarys_kind() -> None:
    """Here any byte joins a letter, digit, mark or tab after it in a word: the ids show words."""
    merges = [(character, after) for after in "a1!ĉ" for character in byte_alphabet()]
    vocabulary = learned_vocabulary(merges)
    points = [
        *range(0xD800),
        *range(0xE000, 0x32400),
        *range(0x32400, 0x110000, 251),
        *range(0xE0000, 0xE0200),
    ]
    texts = [f"{point}a{point}1{point}!{point}\t\t" for point in map(chr, points)]
    Pair(vocabulary, merges).check(
        ["".join(texts[start : start + 5000]) for start in range(0, len(texts), 5000)]
    )


def test_the_ends_of_every_run_of_a_kind_alone_and_in_any_company(gpt2: Pair) -> None:
    starts = np.flatnonzero(np.diff(character_kinds())) + 1
    edges = {point for start in starts.tolist() for point in (start - 1, start, start + 1)}
    points = [chr(point) for point in sorted(edges) if not 0xD800 <= point <= 0xDFFF]
    for around in ("{}", "a{}a", "1{}1", " {} ", "!{}!", "'{}s", "{}'s", "{}\n\n{}"):
        gpt2.check([around.format(*[point] * around.count("{}")) for point in points])


def test_a_whole_corpus(gpt2: Pair, learned: Pair, shakespeare: list[str]) -> None:
    gpt2.check(shakespeare)
    learned.check(shakespeare)
    learned.check(["".join(shakespeare)])


def test_fuzz(gpt2: Pair, learned: Pair) -> None:
    texts = fuzz(1, 4000, ALPHABET)
    gpt2.check(texts)
    learned.check(texts)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_merges(seed: int) -> None:
    pair = scrambled(seed)
    assert not pair.graph._merges_repeat
    pair.check(fuzz(seed, 1500, "aaabbb's 1"))


def test_a_byte_outside_the_vocabulary_vanishes() -> None:
    scrambled(9, without="b").check(fuzz(9, 500, "ab's 1"))


def test_a_vocabulary_without_merges(shakespeare: list[str]) -> None:
    Pair(with_end_of_text({name: index for index, name in enumerate(byte_alphabet())}), []).check(
        shakespeare[:50]
    )


def test_malformed_input_is_read_with_replacement_characters(gpt2: Pair) -> None:
    texts = malformed(3, 2000)
    expected = gpt2.backend.encode_batch_fast([text.decode("utf-8", "replace") for text in texts])
    assert gpt2.encode(texts).to_list() == [encoding.ids for encoding in expected]


def test_any_batch_traces_once(gpt2: Pair) -> None:
    for texts in ([], [""], ["", ""], ["a"], ["", "a b", "", "'s " * 50, ""]):
        gpt2.check(texts)
    assert gpt2.encode.experimental_get_tracing_count() == 1


def malformed(seed: int, count: int) -> list[bytes]:
    random_state = random.Random(seed)
    whole = [
        b"\xe2\x82\xac",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xe0\x80\x80",
    ]
    whole += [b"\xef\xbb\xbf", b"\xf8\x88\x80\x80\x80", b"\xff", b"a", b"\0", b" "]
    texts = []
    for _ in range(count):
        pieces = random_state.choices(whole, k=random_state.randrange(6))
        texts.append(b"".join(piece[: random_state.randrange(len(piece)) + 1] for piece in pieces))
    return texts


def test_decode_is_pythons_decode_with_replacement(learned: Pair) -> None:
    byte_ids = {byte: learned.vocabulary[character] for character, byte in byte_alphabet().items()}
    texts = malformed(5, 3000)
    ids = tf.ragged.constant([[byte_ids[byte] for byte in text] for text in texts], tf.int64, ragged_rank=1)
    decoded = learned.graph.decode(ids.to_tensor(7), ids.row_lengths()).numpy().tolist()
    assert [text.decode() for text in decoded] == [text.decode("utf-8", "replace") for text in texts]


def test_decode_inverts_encode(gpt2: Pair) -> None:
    texts = [*fuzz(8, 300, ALPHABET), *WHITESPACE, ""]
    ids = gpt2.encode(texts)
    decoded = gpt2.graph.decode(ids.to_tensor(), ids.row_lengths()).numpy().tolist()
    assert [text.decode() for text in decoded] == texts


def test_decode_leaves_out_end_of_text_padding_and_unknown_ids() -> None:
    tokenizer = InGraphTokenizer.from_preset("gpt2")
    ids = [[15496, 50256, 995], [50300, 15496, -1], [995, 995, 995]]
    assert tokenizer.decode(ids, [3, 3, 1]).numpy().tolist() == [b"Hello world", b"Hello", b" world"]
    assert tokenizer.decode(np.zeros((2, 0), np.int64), [0, 0]).numpy().tolist() == [b"", b""]
    assert tokenizer.decode(np.zeros((0, 3), np.int64), []).numpy().tolist() == []


@pytest.fixture(scope="module", params=["gpt2", "chat"])
def tokenizer(request: pytest.FixtureRequest, shakespeare: list[str]) -> Tokenizer:
    """GPT-2's own, or one learned here with a special token more."""
    if request.param == "gpt2":
        return Tokenizer.from_preset("gpt2")
    return Tokenizer.learn(shakespeare[:500], 700, special_tokens=["<|user|>"])


def stream_of_ids(tokenizer: Tokenizer) -> np.ndarray:
    """Single bytes, mostly malformed, other pieces between them, and special tokens, int64 (64, 30)."""
    random_state = np.random.default_rng(7)
    ids = random_state.integers(0, 256, (64, 30))
    ids[:, ::5] = random_state.integers(0, tokenizer.vocabulary_size, (64, 6))
    ids[0] = next(iter(tokenizer.special_tokens.values()))
    return ids


def streamed(tokenizer: Tokenizer, ids: np.ndarray) -> list[list[str]]:
    """What the streaming decoder gives of each row after each id, and at the end."""
    rows = []
    for row in ids.tolist():
        decoder = StreamingDecoder(tokenizer)
        rows.append([*[decoder.push(index) for index in row], decoder.flush()])
    return rows


def test_a_stream_of_ids_is_the_streaming_decoders(tokenizer: Tokenizer) -> None:
    graph = InGraphTokenizer.from_tokenizer(tokenizer)
    decode_next = tf.function(graph.decode_next)
    ids = stream_of_ids(tokenizer)
    waiting, pieces = tf.fill([64], ""), []
    for column in ids.T:
        texts, waiting = decode_next(column, waiting)
        pieces.append(texts.numpy().tolist())
    pieces.append(graph.decode_rest(waiting).numpy().tolist())
    rows = [[piece.decode() for piece in row] for row in zip(*pieces, strict=True)]
    assert rows == streamed(tokenizer, ids)
    assert ["".join(row) for row in rows] == tokenizer.decode_batch(ids.tolist())


def test_in_a_data_pipeline(tokenizer: Tokenizer) -> None:
    graph = InGraphTokenizer.from_tokenizer(tokenizer)
    data = tf.data.Dataset.from_tensor_slices(CONTRACTIONS).batch(4).map(graph.encode)
    assert [row for batch in data for row in batch.to_list()] == tokenizer.encode_batch(CONTRACTIONS)


def test_no_special_token_can_be_smuggled_in(shakespeare: list[str]) -> None:
    chat = Tokenizer.learn(shakespeare[:100], 300, special_tokens=["<|user|>"])
    texts = [*MARKERS, "<|user|>", "a<|user|>b", "<|<|user|>user|>"]
    for tokenizer in (Tokenizer.from_preset("gpt2"), chat):
        graph = InGraphTokenizer.from_tokenizer(tokenizer)
        ids = graph.encode(texts)
        assert ids.to_list() == tokenizer.encode_batch(texts)
        assert not set(tokenizer.special_tokens.values()) & set(ids.values.numpy().tolist())
        decoded = graph.decode(ids.to_tensor(), ids.row_lengths()).numpy().tolist()
        assert [text.decode() for text in decoded] == texts


def test_decode_leaves_out_every_special_token(shakespeare: list[str]) -> None:
    tokenizer = Tokenizer.learn(shakespeare[:100], 300, special_tokens=["<|user|>"])
    ids = tokenizer.encode("<|user|>To be<|endoftext|>", allowed_special="all")
    graph = InGraphTokenizer.from_tokenizer(tokenizer)
    assert graph.decode([ids], [len(ids)]).numpy().tolist() == [b"To be"]


def test_from_preset_reads_a_saved_folder(learned: Pair, tmp_path: Path) -> None:
    Tokenizer(learned.vocabulary, learned.merges).save_to_preset(tmp_path)
    text = "What light through yonder window breaks?"
    assert (
        InGraphTokenizer.from_preset(tmp_path).encode([text]).to_list()[0] == learned.backend.encode(text).ids
    )


READ_WITH_TENSORFLOW_ALONE = """
import json, sys
sys.modules["keras"] = None  # `import tensorflow` imports Keras where it can; this refuses it
import tensorflow as tf
module = tf.saved_model.load(sys.argv[1])
given = json.loads(sys.stdin.read())
waiting, pieces = tf.fill([len(given["ids"])], ""), []
for column in zip(*given["ids"]):
    texts, waiting = module.decode_next(tf.constant(column, tf.int64), waiting)
    pieces.append(texts.numpy().tolist())
pieces.append(module.decode_rest(waiting).numpy().tolist())
print(json.dumps({
    "ids": module.encode(tf.constant(given["texts"])).to_list(),
    "streamed": [[piece.decode() for piece in row] for row in zip(*pieces)],
}))
assert not {"kerasgpt", "tokenizers", "tensorflow_text"} & set(sys.modules)
"""


def saved_module(tokenizer: Tokenizer) -> tf.Module:
    """The tokenizer as functions of a SavedModel."""
    module, graph = tf.Module(), InGraphTokenizer.from_tokenizer(tokenizer)
    strings, ids = tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64)
    module.tokenizer = graph
    module.encode = tf.function(graph.encode, [strings])
    module.decode_next = tf.function(graph.decode_next, [ids, strings])
    module.decode_rest = tf.function(graph.decode_rest, [strings])
    return module


def test_a_saved_model_runs_with_tensorflow_alone(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tf.saved_model.save(saved_module(tokenizer), str(tmp_path / "tokenizer"))
    texts = [*CONTRACTIONS, *WHITESPACE, *MARKERS, *fuzz(4, 50, ALPHABET), ""]
    ids = stream_of_ids(tokenizer)
    result = subprocess.run(
        [sys.executable, "-c", READ_WITH_TENSORFLOW_ALONE, str(tmp_path / "tokenizer")],
        input=json.dumps({"texts": texts, "ids": ids.tolist()}),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    expected = {"ids": tokenizer.encode_batch(texts), "streamed": streamed(tokenizer, ids)}
    assert json.loads(result.stdout) == expected
