"""Documents from files of any form, each known by what it is."""

import bz2
import gzip
import json
import lzma
import os

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from kerasgpt.data.pieces import Piece
from kerasgpt.data.sources import documents, expand, fingerprint, read_documents
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tokenizer.bpe import Tokenizer

GZIPPED = gzip.compress(b"one two", mtime=0)


def test_documents_come_in_the_order_of_the_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    assert list(read_documents([tmp_path / "b", tmp_path / "a"])) == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", ""),
        ("a.txt", "<|endoftext|>\n"),
        ("a.jsonl", ""),
        ("a.jsonl", '{"text": ""}\n'),
        ("a.bin", ""),
    ],
)
def test_a_file_without_text_is_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(KerasGPTError, match=f"{name}: holds no text"):
        list(documents([tmp_path / name], tokenizer=Tokenizer.from_preset("gpt2")))


def test_missing_and_unreadable_files_are_named(tmp_path):
    missing, folder = "No such file", "is a folder; name its files"
    for name, sentence in {"none.txt": missing, "none.bin": missing, "": folder}.items():
        with pytest.raises(KerasGPTError, match=sentence):
            list(documents([tmp_path / name]))


def test_each_form_is_known_by_its_content_or_its_name(tmp_path):
    tokenizer = Tokenizer.from_preset("gpt2")
    ids = np.array([tokenizer.end_of_text_id, *tokenizer.encode("one two")], np.uint16)
    header = np.zeros(256, np.int32)
    header[:3] = 20240520, 1, len(ids)
    (tmp_path / "nanogpt.bin").write_bytes(ids.tobytes())
    (tmp_path / "llmc.whatever").write_bytes(header.tobytes() + ids.tobytes())
    (tmp_path / "lines.jsonl").write_text(json.dumps({"text": "one two"}))
    (tmp_path / "lines.ndjson").write_text(json.dumps({"text": "one two"}))
    (tmp_path / "LINES.JSONL").write_text(json.dumps({"text": "one two"}))
    (tmp_path / "NANOGPT.BIN").write_bytes(ids.tobytes())
    (tmp_path / "plain").write_text("one two")
    table = pyarrow.table({"text": ["one two"]})
    for name in ("rows.parquet", "rows"):
        pyarrow.parquet.write_table(table, tmp_path / name)
    for path in tmp_path.iterdir():
        (piece,) = documents([path], tokenizer=tokenizer)
        text = piece.text if isinstance(piece, Piece) else tokenizer.decode(piece.ids.tolist())
        assert (text, piece.begins_document, piece.num_bytes) == ("one two", True, 7), path


def test_a_shard_goes_on_with_the_document_of_the_one_before(tmp_path):
    tokenizer = Tokenizer.from_preset("gpt2")
    end, one, two = tokenizer.end_of_text_id, tokenizer.encode("one")[0], tokenizer.encode("two")[0]
    for number, ids in enumerate([[end, one], [two, end, two]]):
        header = np.zeros(256, np.int32)
        header[:3] = 20240520, 1, len(ids)
        path = tmp_path / f"shard_{number}.bin"
        path.write_bytes(header.tobytes() + np.array(ids, np.uint16).tobytes())
    pieces = list(documents([tmp_path / "shard_*.bin"], tokenizer=tokenizer))
    assert [(piece.ids.tolist(), piece.begins_document) for piece in pieces] == [
        ([one, two], True),
        ([two], True),
    ]
    alone = documents([tmp_path / "shard_1.bin"], tokenizer=tokenizer)
    assert [piece.begins_document for piece in alone] == [True, True]


def test_only_shards_of_llmc_go_on_with_the_file_before(tmp_path):
    tokenizer = Tokenizer.from_preset("gpt2")
    header = np.zeros(256, np.int32)
    header[:3] = 20240520, 1, 1
    ids = np.array([7], np.uint16).tobytes()
    (tmp_path / "shard.bin").write_bytes(header.tobytes() + ids)
    (tmp_path / "nanogpt.bin").write_bytes(ids)
    (tmp_path / "a.txt").write_text("one")
    names = ["shard.bin", "nanogpt.bin", "nanogpt.bin", "shard.bin", "a.txt", "shard.bin", "shard.bin"]
    pieces = list(documents([tmp_path / name for name in names], tokenizer=tokenizer))
    assert [piece.num_bytes // len(tokenizer.pieces[7]) for piece in pieces] == [1, 1, 1, 1, 3, 2]
    assert all(piece.begins_document for piece in pieces)


def test_patterns_name_files_in_order_and_must_match(tmp_path):
    for name in ("b.txt", "a.txt", "c[1].txt"):
        (tmp_path / name).write_text(name)
    assert [path.name for path in expand([tmp_path / "c[1].txt", tmp_path / "*.txt"])] == [
        "c[1].txt",
        "a.txt",
        "b.txt",
        "c[1].txt",
    ]
    with pytest.raises(KerasGPTError, match=r"\*\.json: no file matches"):
        expand([tmp_path / "*.json"])


def test_no_file_and_unknown_error_handling_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no data"):
        list(documents([]))
    with pytest.raises(UsageError, match="did you mean 'replace'"):
        list(documents([tmp_path], errors="replaec"))


def test_the_fingerprint_follows_the_content_and_not_the_name(tmp_path):
    for name, content in {"a.txt": "x", "b.txt": "x", "c.txt": "y"}.items():
        (tmp_path / name).write_text(content)
    a, b, c = (fingerprint([tmp_path / name]) for name in ("a.txt", "b.txt", "c.txt"))
    assert a == b != c
    with pytest.raises(KerasGPTError, match="cannot read"):
        fingerprint([os.fspath(tmp_path / "none")])


@pytest.mark.parametrize("errors", ["strict", "replace"])
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt.gz", GZIPPED, "compressed by gzip: unpack it first, by 'gunzip -k .*a.txt.gz'"),
        ("a.jsonl", GZIPPED, "compressed by gzip"),
        (
            "a.jsonl.zst",
            b"\x28\xb5\x2f\xfd\x24\x05",
            "compressed by zstd: unpack it first, by 'unzstd .*zst'",
        ),
        ("a.txt.xz", lzma.compress(b"one two"), "compressed by xz"),
        ("a.txt.bz2", bz2.compress(b"one two"), "compressed by bzip2"),
        ("a.zip", b"PK\x03\x04\x14\x00", "compressed by zip"),
        ("a.txt", "one two".encode("utf-16"), "is UTF-16: convert it to UTF-8"),
        ("a.jsonl", b"\xfe\xff" + '{"text": "one"}'.encode("utf-16-be"), "is UTF-16"),
    ],
)
def test_what_is_compressed_or_utf16_is_refused_however_errors_are_handled(
    tmp_path, name, content, sentence, errors
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KerasGPTError, match=sentence):
        list(documents([tmp_path / name], errors))


def test_a_text_may_begin_with_the_letters_of_bzip2(tmp_path):
    (tmp_path / "a.txt").write_text("BZh9 is how some files begin")
    assert [piece.text for piece in documents([tmp_path / "a.txt"])] == ["BZh9 is how some files begin"]


def test_ids_may_begin_like_what_is_compressed(tmp_path):
    tokenizer = Tokenizer.from_preset("gpt2")
    (tmp_path / "train.bin").write_bytes(b"\x1f\x8b")
    (piece,) = documents([tmp_path / "train.bin"], tokenizer=tokenizer)
    assert piece.ids.tolist() == [0x8B1F]


def test_a_parquet_file_is_known_by_its_name_in_upper_case(tmp_path):
    (tmp_path / "ROWS.PARQUET").write_text("damaged")
    with pytest.raises(KerasGPTError, match="cannot read this parquet file"):
        list(documents([tmp_path / "ROWS.PARQUET"]))
