"""TFRecords in and out, read back by TensorFlow's own parser; stopped, damaged and empty ones."""

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.atomic import CannotWriteError
from kerasgpt.data.records import map_records, read_records, write_records
from kerasgpt.errors import KerasGPTError, UsageError

TEXTS = ["To be", "", "naïve 北京", "ends in a zero\0", "the end"]


@pytest.fixture
def shards(tmp_path):
    """Three files of five texts, the last one empty."""
    paths = [tmp_path / "texts" / f"part-{number}-of-3.tfrecord" for number in range(3)]
    for path, texts in zip(paths, (TEXTS[:3], TEXTS[3:], []), strict=True):
        write_records(path, [{"text": text} for text in texts])
    return paths


def measured(rows):
    """Something of each row that the graph can tell: its bytes, whether there are any, and a vector."""
    length = tf.strings.length(rows["text"])
    vector = tf.stack([length, length + 1], axis=1)
    return {**rows, "length": length, "empty": length == 0, "half": length / 2, "vector": vector}


def parsed(path):
    """The rows of a file, by the protocol buffer alone."""
    rows = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
        rows.append({name: list(getattr(features[name], kind).value) for name, kind in kinds.items()})
    return rows


def test_rows_are_written_in_their_kinds(tmp_path):
    row = {"text": "naïve", "data": b"\0\xff\0", "number": np.int32(3), "yes": True, "score": np.float32(0.5)}
    many = {"names": np.array(["a", b"b"], object), "ids": np.arange(3), "none": np.zeros(0)}
    assert write_records(tmp_path / "a.tfrecord", [{**row, **many}, {"text": ""}]) == 2
    first, second = parsed(tmp_path / "a.tfrecord")
    assert first == {
        "text": ["naïve".encode()],
        "data": [b"\0\xff\0"],
        "number": [3],
        "yes": [1],
        "score": [0.5],
        "names": [b"a", b"b"],
        "ids": [0, 1, 2],
        "none": [],
    }
    assert second == {"text": [b""]}


def test_what_a_record_cannot_hold_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(UsageError, match="feature 'z' is complex128"):
        write_records(tmp_path / "a.tfrecord", [{"z": 1.0}, {"z": 1j}])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (2**63, "is 9223372036854775808: a TFRecord holds integers below 2.63"),
        (np.array([1, 2**64 - 1], np.uint64), "is 18446744073709551615: a TFRecord holds"),
        ("\ud800", "holds half a surrogate pair"),
        (np.zeros((2, 3), np.float32), r"has the shape \(2, 3\): a TFRecord holds rows"),
    ],
    ids=["above int64", "uint64", "half a pair", "matrix"],
)
def test_what_would_be_another_number_or_no_text_is_refused(tmp_path, value, sentence):
    with pytest.raises(UsageError, match=f"feature 'x' {sentence}"):
        write_records(tmp_path / "a.tfrecord", [{"x": value}])
    assert not any(tmp_path.iterdir())


def test_the_largest_integer_is_written(tmp_path):
    write_records(tmp_path / "a.tfrecord", [{"x": np.uint64(2**63 - 1)}])
    assert parsed(tmp_path / "a.tfrecord") == [{"x": [2**63 - 1]}]


def test_batches_are_read(shards):
    batches = list(read_records(shards, {"text": tf.string}, 2).as_numpy_iterator())
    assert [len(batch["text"]) for batch in batches] == [2, 2, 1]
    texts = np.concatenate([batch["text"] for batch in batches])
    assert [text.decode() for text in texts] == TEXTS


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_each_file_is_mapped_into_one_of_its_name(shards, tmp_path, batch_size):
    written = map_records(shards, tmp_path / "out", measured, batch_size=batch_size)
    assert [path.name for path in written] == [path.name for path in shards]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [path.name for path in shards]
    rows = [row for path in written for row in parsed(path)]
    lengths = [len(text.encode()) for text in TEXTS]
    assert [row["text"][0].decode() for row in rows] == TEXTS
    assert [row["length"][0] for row in rows] == lengths
    assert [row["empty"][0] for row in rows] == [not text for text in TEXTS]
    assert [row["half"][0] for row in rows] == [length / 2 for length in lengths]
    assert [row["vector"] for row in rows] == [[length, length + 1] for length in lengths]


def test_other_features_are_read_on_request(shards, tmp_path):
    (first, *_) = map_records(shards, tmp_path / "out", measured)
    wanted = {"length": tf.int64, "half": tf.float32}
    (again,) = map_records([first], tmp_path / "more", lambda rows: rows, wanted)
    assert [sorted(row) for row in parsed(again)] == [["half", "length"]] * 3


def test_a_run_that_was_stopped_goes_on(shards, tmp_path):
    """The second file fails in its last row: the first is there, of the second nothing."""

    def fails(rows):
        checked = tf.debugging.assert_none_equal(rows["text"], "the end", message="stumbled")
        with tf.control_dependencies([checked]):
            return measured(rows)

    with pytest.raises(KerasGPTError, match=r"part-1-of-3\.tfrecord: cannot be read and mapped \(.*stumbled"):
        map_records(shards, tmp_path / "out", fails, batch_size=1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [shards[0].name]
    before = (tmp_path / "out" / shards[0].name).stat().st_mtime_ns
    written = map_records(shards, tmp_path / "out", measured)
    assert [path.name for path in written] == [path.name for path in shards[1:]]
    assert (tmp_path / "out" / shards[0].name).stat().st_mtime_ns == before
    assert map_records(shards, tmp_path / "out", measured) == []


def test_a_damaged_file_is_named(shards, tmp_path):
    shards[1].write_bytes(shards[1].read_bytes()[:-3])
    with pytest.raises(
        KerasGPTError, match=r"part-1-of-3\.tfrecord: cannot be read and mapped \(.*truncated"
    ):
        map_records(shards, tmp_path / "out", measured)


def test_a_missing_file_and_a_missing_feature_are_named(shards, tmp_path):
    with pytest.raises(KerasGPTError, match=r"gone\.tfrecord: cannot be read and mapped \(.*No such file"):
        map_records([tmp_path / "gone.tfrecord"], tmp_path / "out", measured)
    with pytest.raises(KerasGPTError, match=r"part-0-of-3\.tfrecord: .*words"):
        map_records(shards, tmp_path / "out", lambda rows: rows, {"words": tf.string})
    assert not (tmp_path / "out").exists()


def test_files_that_would_be_one_are_refused(shards, tmp_path):
    (tmp_path / "b").mkdir()
    for sources in ([], [shards[0], tmp_path / "b" / shards[0].name]):
        with pytest.raises(UsageError, match="no two of the same name"):
            map_records(sources, tmp_path / "out", measured)


def test_a_full_disk_leaves_nothing(shards, tmp_path, full_disk):
    with (
        full_disk(10),
        pytest.raises(CannotWriteError, match=r"part-0-of-3\.tfrecord: cannot write \(File too"),
    ):
        map_records(shards[:1], tmp_path / "out", measured)
    assert not (tmp_path / "out").exists()


def test_strings_are_written_in_any_form_that_holds_them(tmp_path):
    forms = {
        "list": ["né", "b\0"],
        "unicode": np.array(["né", "b"]),
        "bytes": np.array([b"a", b"bc"]),
        "one": np.str_("c"),
        "variable": np.array(["né", "b"], np.dtypes.StringDType()),
    }
    write_records(tmp_path / "a.tfrecord", [forms])
    assert parsed(tmp_path / "a.tfrecord") == [
        {
            "list": ["né".encode(), b"b\0"],
            "unicode": ["né".encode(), b"b"],
            "bytes": [b"a", b"bc"],
            "one": [b"c"],
            "variable": ["né".encode(), b"b"],
        }
    ]
    with pytest.raises(UsageError, match="feature 'mixed' is object"):
        write_records(tmp_path / "b.tfrecord", [{"mixed": np.array(["a", None], object)}])


def test_rows_of_several_lengths_are_refused(tmp_path):
    with pytest.raises(UsageError, match="feature 'x' has rows of several lengths"):
        write_records(tmp_path / "a.tfrecord", [{"x": [[1], [2, 3]]}])
