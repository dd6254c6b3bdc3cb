"""The tokenizer against GPT-2's known ids, tiktoken, and itself."""

import copy
import json
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
import tiktoken
import tokenizers
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from kerasgpt.artifacts import MERGES, TOKENIZER, TOKENIZER_CONFIG, VOCABULARY
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT

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


def test_the_vocabulary_is_openais_file(gpt2):
    """By the hash that tiktoken checks its download of encoder.json with."""
    content = json.dumps(gpt2.vocabulary).encode()
    assert sha256(content).hexdigest() == "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"


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


SMUGGLED = [
    f"before{END_OF_TEXT}after",
    f"{END_OF_TEXT}{END_OF_TEXT}",
    f" {END_OF_TEXT}\n",
    f"<|endof{END_OF_TEXT}text|>",
    "<|end\u200boftext|>",
    END_OF_TEXT,
]


@pytest.mark.parametrize("text", SMUGGLED)
def test_users_cannot_smuggle_in_an_end_of_text(gpt2, text):
    for ids in (gpt2.encode(text), *gpt2.encode_batch([text]), gpt2.encode_bytes(text.encode())):
        assert gpt2.end_of_text_id not in ids
        assert gpt2.decode(ids) == text


@pytest.mark.parametrize("text", SMUGGLED)
def test_allowed_end_of_text_is_tiktokens(gpt2, official, text):
    ids = gpt2.encode(text, allowed_special="all")
    assert ids == official.encode(text, allowed_special="all")
    assert gpt2.encode(text, allowed_special={END_OF_TEXT}) == ids
    assert gpt2.encode(text, allowed_special=[]) == official.encode_ordinary(text)
    assert gpt2.decode(ids, skip_special_tokens=False) == text


@pytest.fixture(scope="module")
def chat() -> Tokenizer:
    return Tokenizer.learn(
        ["the user asks and the model answers"] * 2, 275, special_tokens=["<|user|>", "<|user|>>"]
    )


def test_further_special_tokens_are_the_librarys(tmp_path, chat):
    chat.save_to_preset(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER))
    for text in ("<|user|>the<|user|>>model<|endoftext|>", " <|user|> <|endoftext|>>", "the user", "<|user"):
        assert chat.encode(text, allowed_special="all") == theirs.encode(text).ids
        assert not set(chat.special_tokens.values()) & set(chat.encode(text))
        assert chat.decode(chat.encode(text)) == text
    loaded = Tokenizer.from_preset(tmp_path)
    assert (
        loaded.special_tokens == chat.special_tokens == {"<|user|>": 272, "<|user|>>": 273, END_OF_TEXT: 274}
    )
    assert json.loads((tmp_path / TOKENIZER_CONFIG).read_text())["additional_special_tokens"] == [
        "<|user|>",
        "<|user|>>",
    ]


@pytest.mark.parametrize("text", [*SMUGGLED, "<|user|>", "the<|user|>>user", "<|<|user|>user|>"])
def test_no_special_token_can_be_smuggled_in(chat, text):
    for ids in (chat.encode(text), *chat.encode_batch([text] * 2), chat.encode_bytes(text.encode())):
        assert not set(chat.special_tokens.values()) & set(ids)
        assert chat.decode(ids) == text


def test_only_the_allowed_tokens_are_special(chat):
    user, end = chat.special_tokens["<|user|>"], chat.end_of_text_id
    text = f"<|user|>a{END_OF_TEXT}"
    assert chat.encode(text, allowed_special={"<|user|>"}) == [user, *chat.encode(f"a{END_OF_TEXT}")]
    assert chat.encode(text, allowed_special={END_OF_TEXT}) == [*chat.encode("<|user|>a"), end]
    batch = [text, "", END_OF_TEXT, "plain"]
    assert chat.encode_batch(batch, allowed_special="all") == [
        chat.encode(text, allowed_special="all") for text in batch
    ]


@pytest.mark.parametrize("names", [["<|usr|>"], "<|usr|>", {"the"}])
def test_an_unknown_special_token_is_refused(chat, names):
    with pytest.raises(UsageError, match="unknown special token"):
        chat.encode("text", allowed_special=names)


def test_half_a_surrogate_pair_is_a_replacement_character(gpt2, official):
    for text in ("\ud800a", "\ud83d\ude42", "x\udfff"):
        assert gpt2.encode(text) == official.encode_ordinary(text)
    assert gpt2.encode_batch(["fine", "\ud800"]) == [gpt2.encode("fine"), gpt2.encode("\ufffd")]


def test_decode_batch_decodes_each(gpt2):
    assert gpt2.decode_batch([[15496, 50256], [], [995]]) == ["Hello", "", " world"]
    assert gpt2.decode_batch([[50256]], skip_special_tokens=False) == [END_OF_TEXT]


def test_the_end_of_text_is_left_out_unless_asked_for(gpt2):
    ids = [15496, 50256, 995]
    assert gpt2.decode(ids) == "Hello world"
    assert gpt2.decode(ids, skip_special_tokens=False) == f"Hello{END_OF_TEXT} world"


def test_another_special_token_may_end_texts(chat):
    other = Tokenizer(chat.vocabulary, chat.merges, chat.special_tokens, end_of_text="<|user|>")
    assert other.end_of_text_id == chat.vocabulary["<|user|>"] != chat.end_of_text_id
    assert other.special_tokens == chat.special_tokens
    with pytest.raises(UsageError, match="the vocabulary has no </s>"):
        Tokenizer(chat.vocabulary, chat.merges, end_of_text="</s>")


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
    tokenizer = Tokenizer.learn(["to be or not to be, that is the question"] * 3, 300)
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
    gpt2.save_to_preset(tmp_path, max_sequence_length=1024)
    settings = json.loads((tmp_path / TOKENIZER_CONFIG).read_text())
    assert settings["tokenizer_class"] == "GPT2Tokenizer"
    assert settings["model_max_length"] == 1024
    assert (tmp_path / MERGES).read_text(encoding="utf-8").startswith("#version: 0.2\n")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER))
    assert theirs.encode(f"Hello{END_OF_TEXT}").ids == [15496, 50256]  # special there, as they expect
    assert theirs.encode(TEXTS[5]).ids == gpt2.encode(TEXTS[5])


def test_tiktoken_reads_our_files_to_the_same_ranks(tmp_path, gpt2):
    gpt2.save_to_preset(tmp_path)
    ranks = data_gym_to_mergeable_bpe_ranks(str(tmp_path / MERGES), str(tmp_path / VOCABULARY))
    assert ranks == {piece: index for index, piece in enumerate(gpt2.pieces) if piece}


def test_a_folder_that_does_not_fit_together_is_named(tmp_path):
    (tmp_path / VOCABULARY).write_text('{"a": 0, "b": 1}')
    (tmp_path / MERGES).write_text("a b\n")
    with pytest.raises(KerasGPTError, match="has no <.endoftext.>") as caught:
        Tokenizer.from_preset(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_whose_special_token_is_also_text_is_refused(tmp_path, chat):
    chat.save_to_preset(tmp_path)
    content = json.loads((tmp_path / TOKENIZER).read_text())
    piece = "".join(chat.merges[0])
    added = {**content["added_tokens"][0], "content": piece, "id": chat.vocabulary[piece]}
    content["added_tokens"].append(added)
    (tmp_path / TOKENIZER).write_text(json.dumps(content))
    with pytest.raises(KerasGPTError, match="is also a piece of ordinary text") as caught:
        Tokenizer.from_preset(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("vocabulary", "merges", "sentence"),
    [
        ({"a": 0, END_OF_TEXT: 2}, [], "must be 0, 1, 2"),
        ({"a": 0, "b": 1}, [], "has no <|endoftext|>"),
        ({"a": 0, "b": 1, END_OF_TEXT: 2}, [("a", "b")], "merges do not fit"),
        ({"a": 0, "b": 1, END_OF_TEXT: 2}, [("a", "c")], "merges do not fit"),
    ],
)
def test_an_inconsistent_vocabulary_is_refused(vocabulary, merges, sentence):
    with pytest.raises(UsageError, match=sentence.replace("|", r"\|")):
        Tokenizer(vocabulary, merges)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
def test_a_copy_reads_special_tokens_as_text_too(again):
    tokenizer = Tokenizer.from_merges([("a", "b")], ["<|x|>"])
    text = f"ab<|x|>{END_OF_TEXT}"
    other = again(tokenizer)
    assert other.encode(text) == tokenizer.encode(text)
    assert other.encode(text, allowed_special="all") == [256, 257, 258]
    assert other.special_tokens == tokenizer.special_tokens


def test_to_save_changes_nothing_for_who_encodes_meanwhile(gpt2, tmp_path):
    expected = gpt2.encode(END_OF_TEXT)
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(gpt2.save_to_preset, tmp_path)
        found = [gpt2.encode(END_OF_TEXT)]
        while not saving.done():
            found.append(gpt2.encode(END_OF_TEXT))
    assert all(ids == expected for ids in found)
    assert tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER)).encode(END_OF_TEXT).ids == [50256]


def test_one_text_is_no_list_of_texts(gpt2):
    with pytest.raises(UsageError, match=r"a list of texts .* write \['low'\]"):
        gpt2.encode_batch("low")


def test_what_comes_piece_by_piece_is_read_once():
    tokenizer = Tokenizer.from_preset("gpt2")
    ids = tokenizer.encode("Hello world")
    assert tokenizer.decode(index for index in ids) == "Hello world"
    assert tokenizer.decode(iter([*ids, 99_999]), errors="ignore") == "Hello world"
    texts = ["Hello", "world"]
    assert tokenizer.encode_batch(text for text in texts) == tokenizer.encode_batch(texts)


@pytest.mark.parametrize("text", [["Hello", "world"], ["a", "b", "c"], b"abc", None], ids=str)
def test_what_is_not_one_text_is_refused(text):
    with pytest.raises(UsageError, match="it must be one text; encode_batch takes several"):
        Tokenizer.from_preset("gpt2").encode(text)


def test_ways_with_unknown_ids_are_two():
    with pytest.raises(UsageError, match="unknown error handling 'replace'"):
        Tokenizer.from_preset("gpt2").decode([1], errors="replace")
