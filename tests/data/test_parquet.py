"""Documents from parquet, and what is no such file."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from kerasgpt.data.parquet import parquet_documents
from kerasgpt.data.pieces import Piece
from kerasgpt.errors import KerasGPTError, MissingExtraError

TEXTS = [f"Document {number}: né 🙂.\n" for number in range(3000)]


def write(path, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=700)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.string(),
        pyarrow.large_string(),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
        pyarrow.string_view(),
    ],
    ids=str,
)
def test_each_row_is_a_document_in_order(tmp_path, kind):
    text = pyarrow.array(TEXTS).cast(kind)
    path = write(tmp_path / "a.parquet", id=list(range(3000)), text=text)
    assert list(parquet_documents(path, "strict")) == [Piece(text, True) for text in TEXTS]


def test_an_empty_text_is_no_document(tmp_path):
    path = write(tmp_path / "a.parquet", text=["", "a", ""])
    assert list(parquet_documents(path, "strict")) == [Piece("a", True)]


def test_bad_rows_and_columns_are_named(tmp_path):
    bad = pyarrow.array([b"fine", b"caf\xe9"]).cast(pyarrow.string(), safe=False)
    for columns, sentence in [
        ({"text": ["a", None]}, "row 2: its text is null"),
        ({"body": ["a"], "id": [1]}, "has no column 'text' but body, id"),
        ({"text": [1]}, "its column 'text' holds int64 and no text"),
        (
            {"text": pyarrow.Array.from_buffers(pyarrow.string(), 2, bad.buffers())},
            "row 2: not UTF-8 at byte 3",
        ),
    ]:
        path = write(tmp_path / "bad.parquet", **columns)
        with pytest.raises(KerasGPTError, match=sentence):
            list(parquet_documents(path, "strict"))


def test_replace_reads_bad_bytes_as_a_mark(tmp_path):
    data = np.frombuffer(b"caf\xe9", np.uint8)
    offsets = np.array([0, 4], np.int32)
    text = pyarrow.Array.from_buffers(pyarrow.string(), 1, [None, *map(pyarrow.py_buffer, (offsets, data))])
    path = write(tmp_path / "bad.parquet", text=text)
    assert list(parquet_documents(path, "replace")) == [Piece("caf\ufffd", True)]


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -1, -4, -500])
def test_a_damaged_file_is_named(tmp_path, keep):
    path = write(tmp_path / "cut.parquet", text=TEXTS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        KerasGPTError, match=r"cut\.parquet: cannot read this parquet file \(.*; fetch it again"
    ):
        list(parquet_documents(path, "strict"))


def test_damage_in_the_midst_is_named(tmp_path):
    path = write(tmp_path / "bad.parquet", text=TEXTS)
    data = bytearray(path.read_bytes())
    data[2000:6000] = bytes(4000)
    path.write_bytes(data)
    with pytest.raises(KerasGPTError, match=r"bad\.parquet: cannot read this parquet file"):
        list(parquet_documents(path, "strict"))


def test_a_changed_letter_is_found_by_the_checksum_of_its_page(tmp_path):
    path = tmp_path / "bad.parquet"
    table = pyarrow.table({"text": ["alpha beta"]})
    pyarrow.parquet.write_table(
        table, path, compression="none", use_dictionary=False, write_page_checksum=True
    )
    assert list(parquet_documents(path, "strict")) == [Piece("alpha beta", True)]
    data = path.read_bytes()
    path.write_bytes(data.replace(b"alpha", b"olpha"))
    with pytest.raises(KerasGPTError, match=r"bad\.parquet: cannot read this parquet file \(.*CRC"):
        list(parquet_documents(path, "strict"))


def test_two_columns_of_the_name_are_refused(tmp_path):
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], ["text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "two.parquet")
    with pytest.raises(KerasGPTError, match=r"two\.parquet: has 2 columns 'text'"):
        list(parquet_documents(tmp_path / "two.parquet", "strict"))


def test_a_name_of_a_column_that_is_not_utf8_is_a_sentence(tmp_path):
    path = write(tmp_path / "name.parquet", text=["a"], other_name=["b"])
    path.write_bytes(path.read_bytes().replace(b"other_name", b"other_nam\xee"))
    with pytest.raises(KerasGPTError, match=r"name\.parquet: cannot read this parquet file"):
        list(parquet_documents(path, "strict"))


def test_memory_does_not_grow_with_the_file(tmp_path):
    rng, peaks = np.random.default_rng(0), []
    for count in (2_000, 8_000):
        text = [rng.integers(97, 123, 2_000, np.uint8).tobytes().decode() for _ in range(count)]
        path = write(tmp_path / f"{count}.parquet", text=text)
        before = pyarrow.total_allocated_bytes()
        held = [pyarrow.total_allocated_bytes() - before for _ in parquet_documents(path, "strict")]
        peaks.append(max(held))
    assert peaks[1] < 1.5 * peaks[0]


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path, without):
    path = write(tmp_path / "a.parquet", text=["a"])
    without("pyarrow")
    with pytest.raises(
        MissingExtraError, match=r"reading parquet needs pyarrow.*pip install 'kerasgpt\[train\]'"
    ):
        list(parquet_documents(path, "strict"))


def test_an_error_without_a_message_is_told_by_its_name(tmp_path, monkeypatch):
    def fails(path, **settings):
        raise pyarrow.ArrowException

    monkeypatch.setattr(pyarrow.parquet, "ParquetFile", fails)
    with pytest.raises(KerasGPTError, match=r"a\.parquet: cannot read this parquet file \(ArrowException\)"):
        list(parquet_documents(tmp_path / "a.parquet", "strict"))
