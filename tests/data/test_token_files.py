"""Documents from files of ids: where they begin, and which files are refused."""

import numpy as np
import pytest

from kerasgpt.data import token_files
from kerasgpt.data.token_files import open_token_file, token_documents
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.bpe import Tokenizer

TEXTS = [f"Story {number}, né 🙂.\n" * (number % 400) for number in range(1, 60)]
MAGIC = 20240520


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.learn(TEXTS, 300)


def shard(ids, magic=MAGIC, version=1, count=None):
    """A shard of llm.c as its own writer lays it out: 256 int32, then uint16."""
    header = np.zeros(256, "<i4")
    header[:3] = magic, version, len(ids) if count is None else count
    return header.tobytes() + np.array(ids, "<u2").tobytes()


def opened(path):
    return open_token_file(path, path.read_bytes()[:1024])


def read(path, tokenizer):
    """The documents, each as all its ids, and whether the first one begins here."""
    joined, begins = [], []
    for piece in token_documents([opened(path)], tokenizer):
        if piece.begins_document or not joined:
            joined.append([])
        joined[-1] += piece.ids.tolist()
        begins.append(piece.begins_document)
    return joined, begins[0]


@pytest.mark.parametrize("block_bytes", [2, 14, 5000, 1 << 20])
def test_ends_of_text_divide_documents_wherever_they_and_blocks_end(
    tmp_path, tokenizer, monkeypatch, block_bytes
):
    monkeypatch.setattr(token_files, "_BLOCK_BYTES", block_bytes)
    texts = TEXTS[:: 1 if block_bytes > 100 else 12]
    rows, end, path = tokenizer.encode_batch(texts), tokenizer.end_of_text_id, tmp_path / "train.bin"
    nanogpt = [index for row in rows for index in [*row, end]]
    llmc = [index for row in rows for index in [end, *row]]
    path.write_bytes(np.array(nanogpt, "<u2").tobytes())
    assert read(path, tokenizer) == (rows, True)
    path.write_bytes(shard(llmc))
    assert read(path, tokenizer) == (rows, True)


@pytest.mark.parametrize("block_bytes", [14, 1 << 20])
def test_the_first_piece_of_a_document_does_not_depend_on_where_it_lies(
    tmp_path, tokenizer, monkeypatch, block_bytes
):
    monkeypatch.setattr(token_files, "_BLOCK_BYTES", block_bytes)
    long = (tokenizer.encode("to be or not ") * 2000)[:9000]
    beginnings = set()
    for before in (0, 1, 4095, 4097):
        path = tmp_path / "train.bin"
        path.write_bytes(np.array([*[65] * before, tokenizer.end_of_text_id, *long], "<u2").tobytes())
        pieces = list(token_documents([open_token_file(path, b"")], tokenizer))
        beginnings.add(next(piece.beginning for piece in pieces if piece.ids[0] == long[0]))
    assert len(beginnings) == 1


@pytest.mark.parametrize("cut", range(2, 12))
def test_shards_are_one_text_wherever_they_are_cut(tmp_path, tokenizer, cut):
    """Also before and after an end of text; a document that is cut goes on, another begins."""
    end = tokenizer.end_of_text_id
    ids = [end, 1, 2, end, end, 3, 4, 5, end, 6, 7, end, 8]
    files = []
    for number, part in enumerate((ids[:cut], ids[cut:])):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(shard(part))
        files.append(opened(path))
    pieces = token_documents(files, tokenizer)
    assert [piece.ids.tolist() for piece in pieces if piece.begins_document] == [
        [1, 2],
        [3, 4, 5],
        [6, 7],
        [8],
    ]
    assert all(piece.begins_document for piece in token_documents(files, tokenizer))


def test_each_shard_must_hold_text(tmp_path, tokenizer):
    end = tokenizer.end_of_text_id
    for number, ids in enumerate([[end, 1], [end, end], [2]]):
        (tmp_path / f"{number}.bin").write_bytes(shard(ids))
    files = [opened(tmp_path / f"{number}.bin") for number in range(3)]
    with pytest.raises(KerasGPTError, match=r"1\.bin: holds no text"):
        list(token_documents(files, tokenizer))


def test_bytes_are_those_of_the_text(tmp_path, tokenizer):
    path = tmp_path / "train.bin"
    path.write_bytes(np.array(tokenizer.encode(TEXTS[30]), "<u2").tobytes())
    pieces = token_documents([open_token_file(path, b"")], tokenizer)
    assert sum(piece.num_bytes for piece in pieces) == len(TEXTS[30].encode())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x01\x02\x03", "3 bytes are no whole number of 16-bit ids"),
        (shard([1, 2, 3], count=4), "its header says 4 ids, 1032 bytes: the shard is cut off"),
        (shard([1, 2, 3])[:-1], "its header says 3 ids, 1030 bytes: the shard is cut off"),
        (shard([1, 2, 3])[:1000], "the shard is cut off"),
        (shard([1, 2, 3])[:6], "a shard of llm.c that is cut off after 6 bytes; fetch or make it again"),
        (shard([1, 2, 3])[:8], "cut off after 8 bytes"),
        (shard([1, 2, 3]) + b"\x01\x00", "1032 bytes long, and its header says 3 ids"),
        (shard([1, 2, 3], version=7), "a shard of llm.c of version 7; version 1"),
        (shard([1, 2, 299, 300]), "id 300 at position 3 is not in the vocabulary of 300"),
        (np.array([5, 50256], "<u2").tobytes(), "id 50256 at position 1 is not in the vocabulary of 300"),
    ],
)
def test_damaged_and_foreign_files_are_named(tmp_path, tokenizer, content, sentence):
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(KerasGPTError, match=sentence) as error:
        read(path, tokenizer)
    assert str(error.value).startswith(f"{path}: ")


def test_a_vocabulary_larger_than_16_bits_is_refused(tmp_path, tokenizer, monkeypatch):
    path = tmp_path / "train.bin"
    path.write_bytes(np.array([1, 2], "<u2").tobytes())
    monkeypatch.setattr(Tokenizer, "vocabulary_size", property(lambda self: 70_000))
    with pytest.raises(KerasGPTError, match="ids of 16 bits cannot spell a vocabulary of 70000: give text"):
        read(path, tokenizer)


def test_characters_in_nanogpts_own_numbering_are_refused(tmp_path, tokenizer):
    path = tmp_path / "train.bin"
    path.write_bytes(np.array([1, 2], "<u2").tobytes())
    read(path, tokenizer)
    (tmp_path / "meta.pkl").touch()
    with pytest.raises(
        KerasGPTError, match=r"meta\.pkl beside it says that its ids are characters.*: give the"
    ):
        read(path, tokenizer)


def test_no_vocabulary_can_be_learned_from_ids(tmp_path):
    path = tmp_path / "train.bin"
    path.write_bytes(np.array([1, 2], "<u2").tobytes())
    with pytest.raises(KerasGPTError, match="holds ids and no text to learn a vocabulary from"):
        read(path, None)
