"""Encoded documents on disk."""

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from kerasgpt.data import packing, shards
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


def test_another_end_of_text_or_special_token_is_packed_anew(tmp_path, corpus_file):
    learned = Tokenizer.learn(LINES, 300, special_tokens=["<|im_end|>"])
    parts = learned.vocabulary, learned.merges
    folders = set()
    for ends, special in [
        ("<|endoftext|>", ["<|im_end|>"]),
        ("<|im_end|>", ["<|endoftext|>"]),
        ("<|endoftext|>", []),
    ]:
        tokenizer = Tokenizer(*parts, special_tokens=[ends, *special], end_of_text=ends)
        corpus = pack([corpus_file], tokenizer, Split(0.0), cache=tmp_path / "cache")
        assert corpus.ids("train").tolist().count(tokenizer.end_of_text_id) == 2
        folders.add(corpus.folder)
    assert len(folders) == 3


def test_a_file_that_is_not_there_is_a_sentence(tmp_path, tokenizer):
    with pytest.raises(KerasGPTError, match=r"missing\.txt"):
        pack([tmp_path / "missing.txt"], tokenizer, Split(0.0), cache=tmp_path / "cache")


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, corpus_file, tokenizer, monkeypatch):
    text = corpus_file.read_bytes()

    def encodes(*arguments):
        corpus_file.write_bytes(b"Another text.\n" * 100)
        return plain(*arguments)

    plain = packing.encode_pieces
    monkeypatch.setattr(packing, "encode_pieces", encodes)
    with pytest.raises(KerasGPTError, match=r"corpus\.txt: was changed while it was read"):
        pack([corpus_file], tokenizer, Split(0.0), cache=tmp_path / "cache")
    monkeypatch.undo()
    corpus_file.write_bytes(text)
    corpus = pack([corpus_file], tokenizer, Split(0.0), cache=tmp_path / "cache")
    assert tokenizer.decode(corpus.ids("train").tolist()[1:]).startswith("Line 0")


def test_another_text_split_or_vocabulary_is_packed_anew(tmp_path, corpus_file, tokenizer):
    def folder(tokenizer=tokenizer, split=Split()):  # noqa: B008 - frozen
        return pack([corpus_file], tokenizer, split, cache=tmp_path / "cache").folder

    folders = {folder(), folder(split=Split(0.2)), folder(tokenizer=Tokenizer.learn(LINES, 310))}
    corpus_file.write_text("another text")
    assert len(folders | {folder()}) == 4


def test_a_damaged_folder_is_packed_again(tmp_path, corpus_file, tokenizer):
    first = pack([corpus_file], tokenizer, Split(), cache=tmp_path / "cache")
    expected = first.ids("train").tolist()
    (first.folder / "shard-00000" / "train.bin").write_bytes(b"\x00")
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


def test_without_a_home_folder_it_is_said_how_to_name_a_cache(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("KERASGPT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(packing.Path, "home", no_home)
    with pytest.raises(KerasGPTError, match="no home folder to keep token ids in: set KERASGPT_CACHE to a"):
        cache_folder()


def test_progress_counts_every_byte_once(tmp_path, corpus_file, tokenizer, monkeypatch):
    counted = []
    monkeypatch.setattr(packing.ByteProgress, "advance", lambda self, num_bytes: counted.append(num_bytes))
    pack([corpus_file], tokenizer, Split(0.1), cache=tmp_path / "cache")
    assert sum(counted) == len("".join(LINES).encode())


def contents(corpus):
    """Every file of a packed folder, as bytes."""
    files = sorted(path for path in corpus.folder.rglob("*") if path.is_file())
    return {str(path.relative_to(corpus.folder)): path.read_bytes() for path in files}


@pytest.fixture
def stories(tmp_path):
    """400 documents of several lengths."""
    path = tmp_path / "stories.jsonl"
    lines = [json.dumps({"text": line * (number % 9 + 1)}) for number, line in enumerate(LINES)]
    path.write_text("\n".join(lines))
    return path


def test_files_do_not_depend_on_the_number_of_workers(tmp_path, stories, tokenizer, monkeypatch):
    monkeypatch.setattr(shards, "TOKENS_PER_SHARD", 3000)
    found = []
    for num_workers in (1, 2, 5):
        place = tmp_path / f"cache{num_workers}"
        corpus = pack([stories], tokenizer, Split(0.1, 0.1), num_workers=num_workers, cache=place)
        found.append(contents(corpus))
    assert len(corpus.shards) > 5
    assert found[0] == found[1] == found[2]


def test_shards_are_one_to_whoever_reads_them(tmp_path, stories, tokenizer, monkeypatch):
    split = Split(0.1, 0.1, "document")
    whole = pack([stories], tokenizer, split, cache=tmp_path / "whole")
    monkeypatch.setattr(shards, "TOKENS_PER_SHARD", 1000)
    parts = pack([stories], tokenizer, split, cache=tmp_path / "parts")
    assert len(whole.shards) == 1 < len(parts.shards)
    assert parts.sizes == whole.sizes
    for part in PARTS:
        assert parts.ids(part).tolist() == whole.ids(part).tolist()
        starts = parts.document_starts(part).tolist()
        assert starts == whole.document_starts(part).tolist()
        ends = np.flatnonzero(np.array(parts.ids(part).tolist()) == tokenizer.end_of_text_id)
        assert starts == ends.tolist()


PACK = """
import sys, time
from kerasgpt.data import shards
from kerasgpt.data.packing import pack
from kerasgpt.data.splits import Split
from kerasgpt.tokenizer.bpe import Tokenizer
shards.TOKENS_PER_SHARD = 3000
def slow(tagged):
    for piece in tagged:
        time.sleep(0.001)
        yield piece
divide = Split.divide
Split.divide = lambda *arguments: slow(divide(*arguments))
pack([sys.argv[1]], Tokenizer.from_preset(sys.argv[2]), Split(0.1), deduplicate=True, cache=sys.argv[3])
"""


def test_killed_at_any_moment_it_goes_on_to_the_very_same_files(tmp_path, stories, tokenizer, monkeypatch):
    tokenizer.save_to_preset(tmp_path / "tokenizer")
    stories.write_text(stories.read_text() + "\n" + stories.read_text()[:2000].rpartition("\n")[0])
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", PACK, stories, tmp_path / "tokenizer", cache]
    for shard in (0, 1, 4):
        child = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
        while not list(cache.glob(f"*/shard-{shard:05d}")):
            assert child.poll() is None
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    (folder,) = cache.iterdir()
    done = len(list(folder.glob("shard-*")))
    assert done >= 5
    assert not (folder / "index.json").exists()
    (folder / ".shard-00099.tmp-left").mkdir()  # as one leaves that is killed while it writes

    monkeypatch.setattr(shards, "TOKENS_PER_SHARD", 3000)
    encoded = []
    encode_batch = Tokenizer.encode_batch
    monkeypatch.setattr(
        Tokenizer, "encode_batch", lambda self, texts: encoded.extend(texts) or encode_batch(self, texts)
    )
    resumed = pack([stories], tokenizer, Split(0.1), deduplicate=True, cache=cache)
    assert resumed.folder == folder
    assert len(encoded) < 400 - 3 * done
    whole = pack([stories], tokenizer, Split(0.1), deduplicate=True, num_workers=1, cache=tmp_path / "whole")
    assert contents(resumed) == contents(whole)
    assert whole.num_duplicates > 0


def test_interrupted_by_the_keyboard_it_goes_on_too(tmp_path, stories, tokenizer, monkeypatch):
    monkeypatch.setattr(shards, "TOKENS_PER_SHARD", 3000)
    advance = packing.ByteProgress.advance
    calls = []

    def interrupt(self, num_bytes):
        calls.append(num_bytes)
        if len(calls) == 200:
            raise KeyboardInterrupt
        advance(self, num_bytes)

    monkeypatch.setattr(packing.ByteProgress, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pack([stories], tokenizer, Split(0.1), cache=tmp_path / "cache")
    left = list((tmp_path / "cache").glob("*/shard-*"))
    assert left
    before = {path: path.stat().st_mtime_ns for path in left}
    resumed = pack([stories], tokenizer, Split(0.1), cache=tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in left} == before
    whole = pack([stories], tokenizer, Split(0.1), cache=tmp_path / "whole")
    assert contents(resumed) == contents(whole)


def test_a_damaged_shard_of_a_killed_process_is_made_again(tmp_path, stories, tokenizer, monkeypatch):
    monkeypatch.setattr(shards, "TOKENS_PER_SHARD", 3000)
    whole = pack([stories], tokenizer, Split(0.1), cache=tmp_path / "cache")
    expected = contents(whole)
    (whole.folder / "index.json").unlink()
    os.truncate(whole.folder / "shard-00002" / "train.bin", 10)
    again = pack([stories], tokenizer, Split(0.1), cache=tmp_path / "cache")
    assert contents(again) == expected


def documents_of(corpus, tokenizer):
    """Text -> the part it is in, of each document."""
    owner = {}
    for part in PARTS:
        ids = corpus.ids(part).tolist()
        starts = [*corpus.document_starts(part).tolist(), len(ids)]
        for start, end in itertools.pairwise(starts):
            assert owner.setdefault(tokenizer.decode(ids[start:end]), part) == part
    return owner


def test_the_digest_of_a_part_changes_with_any_id_of_it_alone(tmp_path, stories, tokenizer, monkeypatch):
    split = Split(0.1, 0.1)
    whole = pack([stories], tokenizer, split, cache=tmp_path / "whole")
    assert len({whole.digest(part) for part in PARTS}) == len(PARTS)
    assert PackedCorpus.read(whole.folder) == whole
    monkeypatch.setattr(shards, "TOKENS_PER_SHARD", 1000)
    shared = pack([stories], tokenizer, split, cache=tmp_path / "shared")
    assert len(shared.shards) > 1
    assert shared.digests == whole.digests
    stories.write_text(stories.read_text().replace("Line 123: the quick", "Line 123: the quiet", 1))
    other = pack([stories], tokenizer, split, cache=tmp_path / "whole")
    assert [other.digest(part) == whole.digest(part) for part in PARTS] == [False, True, True]


def test_the_digest_of_what_is_trained_on_changes_where_a_source_begins(tmp_path, tokenizer):
    digests = set()
    for cut in (100, 101):
        for name, lines in {"a.jsonl": LINES[:cut], "b.jsonl": LINES[cut:]}.items():
            (tmp_path / name).write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
        paths, split = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"], Split(0.2, 0.0, "document")
        corpus = pack(paths, tokenizer, split, separate=True, cache=tmp_path / "cache")
        digests.add((corpus.digests["train"], corpus.digest("validation"), corpus.digest("train")))
    (one, *same), (other, *too) = [(digest[2], *digest[:2]) for digest in digests]
    assert same == too
    assert one != other


def test_a_shard_that_goes_on_leaves_a_document_in_its_part(tmp_path, tokenizer):
    """Wherever llm.c has cut the ids."""
    texts = [f"Story {number}. " + "the fox " * (number * 97 % 5000) for number in range(40)]
    ids = np.array([i for row in tokenizer.encode_batch(texts) for i in [tokenizer.end_of_text_id, *row]])
    split, owners = Split(0.3, 0.3, "document"), []
    for size in (len(ids), 1000, 7777):
        paths = []
        for start in range(0, len(ids), size):
            header, part = np.zeros(256, "<i4"), ids[start : start + size].astype("<u2")
            header[:3] = 20240520, 1, len(part)
            paths.append(tmp_path / f"{size}_{start:06}.bin")
            paths[-1].write_bytes(header.tobytes() + part.tobytes())
        owners.append(documents_of(pack(paths, tokenizer, split, cache=tmp_path / "c"), tokenizer))
    assert len(owners[0]) == 40
    assert owners[0] == owners[1] == owners[2]


def test_added_files_and_documents_leave_the_old_ones_where_they_are(tmp_path, stories, tokenizer):
    more = tmp_path / "more.txt"
    more.write_text("\n<|endoftext|>\n".join(f"Another {number} story." for number in range(300)))
    split = Split(0.2, 0.2, "document")
    before = documents_of(pack([stories], tokenizer, split, cache=tmp_path / "c"), tokenizer)
    for paths in ([stories, more], [more, stories]):
        after = documents_of(pack(paths, tokenizer, split, cache=tmp_path / "c"), tokenizer)
        assert len(after) == len(before) + 300
        assert {text: after[text] for text in before} == before
    assert set(before.values()) == set(PARTS)


def test_a_text_file_may_grow_and_no_document_changes_its_part(tmp_path, tokenizer):
    """Its last document ends in the file's line end, which no separator takes away."""
    split, known, path = Split(0.3, 0.3, "document"), {}, tmp_path / "stories.txt"
    for end, separator in (
        ("\n", "<|endoftext|>\n"),
        ("\r\n", "<|endoftext|>\r\n"),
        ("\n\n", "<|endoftext|>\n"),
    ):
        for count in range(1, 12):
            texts = [f"Story {number} {end!r}" for number in range(count)]
            path.write_bytes(((end + separator).join(texts) + end).encode())
            owner = documents_of(pack([path], tokenizer, split, cache=tmp_path / "c"), tokenizer)
            for text, part in owner.items():
                assert known.setdefault(text.strip("\r\n"), part) == part
    lines = tmp_path / "stories.jsonl"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in known))
    assert documents_of(pack([lines], tokenizer, split, cache=tmp_path / "c"), tokenizer) == known
    assert set(known.values()) == set(PARTS)


def test_the_last_document_of_a_text_file_is_equal_to_itself_before_a_separator(tmp_path, tokenizer):
    texts = [f"Story {number}." for number in range(5)]
    for name, order in {"a.txt": texts, "b.txt": texts[::-1], "c.txt": texts[:1]}.items():
        (tmp_path / name).write_text("\n<|endoftext|>\n".join(order) + "\n")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    paths = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt", "d.jsonl")]
    corpus = pack(paths, tokenizer, Split(0.0), deduplicate=True, cache=tmp_path / "cache")
    assert corpus.num_duplicates == 5 + 1 + 5
    assert corpus.sizes["train"].num_documents == 5


def test_equal_documents_are_packed_once_and_counted(tmp_path, stories, tokenizer):
    again = tmp_path / "again.jsonl"
    again.write_text("\n".join(stories.read_text().splitlines()[:50]))
    once = pack([stories], tokenizer, Split(0.1), deduplicate=True, cache=tmp_path / "c")
    twice = pack([stories, again], tokenizer, Split(0.1), deduplicate=True, cache=tmp_path / "c")
    assert (once.num_duplicates, twice.num_duplicates) == (0, 50)
    assert twice.sizes == once.sizes
    assert twice.ids("train").tolist() == once.ids("train").tolist()
    all_of_them = pack([stories, again], tokenizer, Split(0.1), cache=tmp_path / "c")
    num_documents = sum(size.num_documents for size in all_of_them.sizes.values())
    assert num_documents in (450, 451)  # the tail's cut may divide one
    assert all_of_them.num_duplicates == 0


def test_separate_sources_keep_their_ids_apart(tmp_path, stories, corpus_file, tokenizer):
    packed = pack([stories, corpus_file], tokenizer, Split(0.1), separate=True, cache=tmp_path / "c")
    assert packed.num_sources == 2
    for source, path in enumerate([stories, corpus_file]):
        alone = pack([path], tokenizer, Split(0.1), cache=tmp_path / "c")
        for part in PARTS:
            assert packed.ids(part, source).tolist() == alone.ids(part).tolist()
    assert [len(ids) for ids in packed.ids_by_source("train")] == [
        len(packed.ids("train", source)) for source in range(2)
    ]
    assert len(packed.ids("train")) == sum(map(len, packed.ids_by_source("train")))


def test_ids_of_other_programs_are_the_ids_of_their_text(tmp_path, stories, tokenizer):
    texts = [json.loads(line)["text"] for line in stories.read_text().splitlines()]
    rows = tokenizer.encode_batch(texts)
    ids = [index for row in rows for index in [*row, tokenizer.end_of_text_id]]
    (tmp_path / "train.bin").write_bytes(np.array(ids, np.uint16).tobytes())
    expected = pack([stories], tokenizer, Split(0.0, 0.0), cache=tmp_path / "c")
    found = pack([tmp_path / "train.bin"], tokenizer, Split(0.0, 0.0), cache=tmp_path / "c")
    assert found.ids("train").tolist() == expected.ids("train").tolist()
    assert found.sizes == expected.sizes
    for method in ("tail", "document"):
        split = Split(0.2, 0.1, method)
        packed = pack([tmp_path / "train.bin"], tokenizer, split, cache=tmp_path / "c")
        assert sum(size.num_bytes for size in packed.sizes.values()) == sum(len(t.encode()) for t in texts)
        for part, fraction in {"validation": 0.2, "test": 0.1}.items():
            share = packed.sizes[part].num_bytes / expected.sizes["train"].num_bytes
            assert share == pytest.approx(fraction, abs=0.05)


def test_a_disk_that_is_full_is_named_and_nothing_is_left(tmp_path, stories, tokenizer, full_disk):
    with full_disk(1000), pytest.raises(KerasGPTError, match="cannot write .*free some space"):
        pack([stories], tokenizer, Split(0.1), deduplicate=True, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_says_how_to_have_it_elsewhere(
    tmp_path, stories, tokenizer, monkeypatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "file"))
    with pytest.raises(KerasGPTError, match="cannot write .*, or set KERASGPT_CACHE to another folder"):
        pack([stories], tokenizer, Split(0.1))
    with pytest.raises(KerasGPTError, match="cannot write .* or choose another place"):
        pack([stories], tokenizer, Split(0.1), cache=tmp_path / "file")


@pytest.fixture
def few_files():
    """A limit of open files as the usual one of 1,024 is to a corpus of hundreds of shards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    num_open = max(map(int, os.listdir("/dev/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (num_open + 32, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_more_shards_than_files_may_be_open_are_read(tmp_path, stories, tokenizer, monkeypatch, few_files):
    monkeypatch.setattr(shards, "TOKENS_PER_SHARD", 100)
    corpus = pack([stories], tokenizer, Split(0.1, 0.1, "document"), cache=tmp_path)
    parts = {part: corpus.ids(part) for part in PARTS}
    assert sum(shard.num_files for shard in corpus.shards) > 100
    assert {part: len(ids) for part, ids in parts.items()} == {
        part: size.num_tokens for part, size in corpus.sizes.items()
    }


def test_more_files_than_the_system_allows_are_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    asked = []
    for count in (10, 1000, 4000):
        shards.allow_open_files(count)
    assert asked == [(1512, 4096), (4096, 4096)]
    with pytest.raises(
        KerasGPTError, match="in 5000 files .* lets a process open 4096: raise 'ulimit -n' to"
    ):
        shards.allow_open_files(5000)


def test_a_limit_that_refuses_leaves_the_packed_files(tmp_path, stories, tokenizer, monkeypatch):
    first = pack([stories], tokenizer, Split(0.1), cache=tmp_path)
    before = (first.folder / "index.json").stat().st_mtime_ns
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8, 8))
    with pytest.raises(KerasGPTError, match="lets a process open 8: raise"):
        pack([stories], tokenizer, Split(0.1), cache=tmp_path)
    assert (first.folder / "index.json").stat().st_mtime_ns == before
