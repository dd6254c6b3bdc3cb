"""Encoded documents on disk."""

import json

import numpy as np
import pytest

from kerasgpt.data import packing
from kerasgpt.data.packing import PackedCorpus, cache_folder, pack
from kerasgpt.data.splits import PARTS, Split
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.bpe import Tokenizer

LINES = [f"Line {number}: the quick brown fox né 🙂.\n" for number in range(400)]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.learn(LINES, 300)


@pytest.fixture
def corpus_file(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("".join(LINES[:200]) + "\n<|endoftext|>\n" + "".join(LINES[200:]), encoding="utf-8")
    return path


def test_ids_decode_to_the_documents_each_after_an_end_of_text(tmp_path, corpus_file, tokenizer):
    corpus = pack([corpus_file], tokenizer, Split(0.0), cache=tmp_path / "cache")
    ids = corpus.ids("train").tolist()
    second = ids.index(tokenizer.end_of_text_id, 1)
    assert ids[0] == tokenizer.end_of_text_id
    assert tokenizer.decode(ids[:second]) == "".join(LINES[:200])
    assert tokenizer.decode(ids[second:]) == "".join(LINES[200:])
    assert ids.count(tokenizer.end_of_text_id) == corpus.sizes["train"].num_documents == 2


def test_no_byte_is_lost_or_double_between_the_parts(tmp_path, corpus_file, tokenizer):
    corpus = pack([corpus_file], tokenizer, Split(0.05, 0.1), cache=tmp_path / "cache")
    texts = [tokenizer.decode_bytes(corpus.ids(part).tolist()) for part in PARTS]
    assert b"".join(texts) == "".join(LINES).encode()
    assert [corpus.sizes[part].num_bytes for part in PARTS] == [len(text) for text in texts]
    assert [corpus.sizes[part].num_tokens for part in PARTS] == [len(corpus.ids(part)) for part in PARTS]


def test_a_second_call_reads_what_the_first_wrote(tmp_path, corpus_file, tokenizer, monkeypatch):
    first = pack([corpus_file], tokenizer, Split(), cache=tmp_path / "cache")
    monkeypatch.setattr(Tokenizer, "encode_batch", None)  # any encoding would fail now
    assert pack([corpus_file], tokenizer, Split(), cache=tmp_path / "cache") == first


def test_another_text_split_or_vocabulary_is_packed_anew(tmp_path, corpus_file, tokenizer):
    def folder(tokenizer=tokenizer, split=Split()):  # noqa: B008 - frozen
        return pack([corpus_file], tokenizer, split, cache=tmp_path / "cache").folder

    folders = {folder(), folder(split=Split(0.2)), folder(tokenizer=Tokenizer.learn(LINES, 310))}
    corpus_file.write_text("another text")
    assert len(folders | {folder()}) == 4


def test_a_damaged_folder_is_packed_again(tmp_path, corpus_file, tokenizer):
    first = pack([corpus_file], tokenizer, Split(), cache=tmp_path / "cache")
    expected = first.ids("train").tolist()
    (first.folder / "train.bin").write_bytes(b"\x00")
    with pytest.raises(KerasGPTError, match="damaged token files"):
        PackedCorpus.read(first.folder)
    assert pack([corpus_file], tokenizer, Split(), cache=tmp_path / "cache").ids("train").tolist() == expected


def test_large_vocabularies_take_four_bytes(tmp_path, corpus_file, tokenizer, monkeypatch):
    monkeypatch.setattr(Tokenizer, "vocabulary_size", property(lambda self: 70_000))
    corpus = pack([corpus_file], tokenizer, Split(), cache=tmp_path / "cache")
    assert corpus.ids("train").dtype == np.uint32
    assert isinstance(corpus.ids("train"), np.memmap)


def test_a_bad_file_leaves_nothing_behind(tmp_path, corpus_file, tokenizer):
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"text": "fine"}) + "\n{}")
    for split in (Split(), Split(method="document")):
        with pytest.raises(KerasGPTError, match="line 2"):
            pack([corpus_file, bad], tokenizer, split, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").glob("**/*")) == []


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("KERASGPT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "kerasgpt"
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_pieces_are_encoded_in_bounded_groups(tmp_path, tokenizer, monkeypatch):
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES))
    sizes = []
    encode_batch = Tokenizer.encode_batch

    def counted(self, texts):
        sizes.append(sum(map(len, texts)))
        return encode_batch(self, texts)

    monkeypatch.setattr(Tokenizer, "encode_batch", counted)
    monkeypatch.setattr(packing, "_CHARACTERS_AT_ONCE", 500)
    pack([path], tokenizer, Split(), cache=tmp_path / "cache")
    assert sum(sizes) == sum(map(len, LINES))
    assert max(sizes) < 500 + max(map(len, LINES))


def test_progress_counts_every_byte_once(tmp_path, corpus_file, tokenizer, monkeypatch):
    counted = []
    monkeypatch.setattr(packing.ByteProgress, "advance", lambda self, num_bytes: counted.append(num_bytes))
    pack([corpus_file], tokenizer, Split(0.1), cache=tmp_path / "cache")
    assert sum(counted) == len("".join(LINES).encode())
