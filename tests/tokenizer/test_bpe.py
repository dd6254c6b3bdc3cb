"""The tokenizer against GPT-2's known ids, tiktoken, and itself."""

import json
import random

import pytest
import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from kerasgpt.artifacts import MERGES, TOKENIZER, TOKENIZER_CONFIG, VOCABULARY
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tokenizer.bpe import END_OF_TEXT, Tokenizer, byte_alphabet
from kerasgpt.tokenizer.training import learn

GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

TEXTS = [
    "",
    "Hello world",
    "a.\n\nb",
    "  leading, trailing  \n\n\t",
    "it's we're I'LL 'tis",
    "naïve café, 北京, Привет, ١٢٣",
    "🙂👩‍👩‍👧‍👦 e\u0301",
    "def f(x):\n    return x ** 2\n",
    "\x00\x7f\u00a0\u2028\ufeff",
    "a" * 3000,
]


@pytest.fixture(scope="module")
def gpt2() -> Tokenizer:
    return Tokenizer.from_preset("gpt2")


@pytest.fixture(scope="module")
def official(gpt2) -> tiktoken.Encoding:
    ranks = {piece: index for index, piece in enumerate(gpt2.pieces) if piece}
    return tiktoken.Encoding(
        "gpt2", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: 50256}
    )


def test_known_ids(gpt2):
    assert gpt2.vocabulary_size == 50257
    assert gpt2.end_of_text_id == 50256
    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.encode("a.\n\nb") == [64, 13, 198, 198, 65]


@pytest.mark.parametrize("text", TEXTS)
def test_equals_tiktoken(gpt2, official, text):
    assert gpt2.encode(text) == official.encode_ordinary(text)
    assert gpt2.decode(gpt2.encode(text)) == text


def test_equals_tiktoken_on_random_text(gpt2, official):
    generator = random.Random(20261123)
    ranges = [(32, 127), (9, 14), (0xA0, 0x250), (0x400, 0x460), (0x4E00, 0x4E80), (0x1F600, 0x1F640)]
    for _ in range(2000):
        characters = [
            chr(generator.randrange(*generator.choice(ranges))) for _ in range(generator.randrange(30))
        ]
        text = "".join(characters)
        assert gpt2.encode(text) == official.encode_ordinary(text), repr(text)
        assert gpt2.decode(gpt2.encode(text)) == text


def test_batch_equals_one_by_one(gpt2):
    assert gpt2.encode_batch(TEXTS) == [gpt2.encode(text) for text in TEXTS]


def test_users_cannot_smuggle_in_an_end_of_text(gpt2):
    ids = gpt2.encode(f"before{END_OF_TEXT}after")
    assert gpt2.end_of_text_id not in ids
    assert gpt2.decode(ids) == f"before{END_OF_TEXT}after"


def test_the_end_of_text_is_left_out_unless_asked_for(gpt2):
    ids = [15496, 50256, 995]
    assert gpt2.decode(ids) == "Hello world"
    assert gpt2.decode(ids, skip_special_tokens=False) == f"Hello{END_OF_TEXT} world"


def test_bytes_that_are_no_text_become_replacement_characters(gpt2):
    first_byte_of_two = gpt2.encode("🙂")[:1]
    assert gpt2.decode(first_byte_of_two) == gpt2.decode_bytes(first_byte_of_two).decode("utf-8", "replace")
    assert "\ufffd" in gpt2.decode(first_byte_of_two)


def test_an_id_outside_the_vocabulary_is_refused(gpt2):
    with pytest.raises(UsageError, match="id 50257 is not in this vocabulary of 50257"):
        gpt2.decode([50257])
    with pytest.raises(UsageError, match="id -1"):
        gpt2.decode([-1])


@pytest.mark.parametrize("form", ["tokenizer.json", "vocabulary files", "merges as strings"])
def test_a_saved_tokenizer_loads_the_same(tmp_path, form):
    tokenizer = learn(["to be or not to be, that is the question"] * 3, 300)
    tokenizer.save_to_preset(tmp_path)
    if form == "vocabulary files":
        (tmp_path / TOKENIZER).unlink()
    if form == "merges as strings":
        content = json.loads((tmp_path / TOKENIZER).read_text())
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
        (tmp_path / TOKENIZER).write_text(json.dumps(content))
        (tmp_path / VOCABULARY).unlink()
    loaded = Tokenizer.from_preset(tmp_path)
    assert loaded.vocabulary == tokenizer.vocabulary
    assert loaded.merges == tokenizer.merges
    assert [loaded.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def test_the_saved_files_are_hugging_faces(tmp_path, gpt2):
    import tokenizers

    gpt2.save_to_preset(tmp_path, max_sequence_length=1024)
    settings = json.loads((tmp_path / TOKENIZER_CONFIG).read_text())
    assert settings["tokenizer_class"] == "GPT2Tokenizer"
    assert settings["model_max_length"] == 1024
    assert (tmp_path / MERGES).read_text(encoding="utf-8").startswith("#version: 0.2\n")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER))
    assert theirs.encode(f"Hello{END_OF_TEXT}").ids == [15496, 50256]  # special there, as they expect
    assert theirs.encode(TEXTS[5]).ids == gpt2.encode(TEXTS[5])


def test_the_alphabet_is_gpt2s(gpt2):
    singles = {piece for piece in gpt2.vocabulary if len(piece) == 1}
    assert set(byte_alphabet()) <= singles
    assert sorted(byte_alphabet().values()) == list(range(256))


def test_tiktoken_reads_our_files_to_the_same_ranks(tmp_path, gpt2):
    gpt2.save_to_preset(tmp_path)
    ranks = data_gym_to_mergeable_bpe_ranks(str(tmp_path / MERGES), str(tmp_path / VOCABULARY))
    assert ranks == {piece: index for index, piece in enumerate(gpt2.pieces) if piece}


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(KerasGPTError, match=r"no tokenizer\.json, and no vocab\.json with merges\.txt"):
        Tokenizer.from_preset(tmp_path)
    (tmp_path / TOKENIZER).write_text('{"model": {"type": "WordPiece"}}')
    with pytest.raises(KerasGPTError, match="its model is not BPE"):
        Tokenizer.from_preset(tmp_path)


@pytest.mark.parametrize(
    ("vocabulary", "merges", "sentence"),
    [
        ({"a": 0, END_OF_TEXT: 2}, [], "must be 0, 1, 2"),
        ({"a": 0, "b": 1}, [], "has no <|endoftext|>"),
        ({"a": 0, "b": 1, END_OF_TEXT: 2}, [("a", "b")], "merges do not fit"),
    ],
)
def test_an_inconsistent_vocabulary_is_refused(vocabulary, merges, sentence):
    with pytest.raises(UsageError, match=sentence.replace("|", r"\|")):
        Tokenizer(vocabulary, merges)
