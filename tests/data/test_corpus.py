"""Files as tagged pieces: sources apart, duplicates out, each part the same whoever asks."""

import json

import numpy as np
import pytest

from kerasgpt.data import corpus as module
from kerasgpt.data.corpus import Corpus, Survey
from kerasgpt.data.splits import PARTS, Split
from kerasgpt.errors import KerasGPTError, UsageError


@pytest.fixture
def files(tmp_path):
    """Two files of JSON lines; the second repeats a third of the first, and both repeat themselves."""
    names = {"a.jsonl": [*range(30), 3, 4, 5], "b.jsonl": [*range(20, 60), 59, 58]}
    for name, numbers in names.items():
        lines = [json.dumps({"text": f"Document number {number}.\n"}) for number in numbers]
        (tmp_path / name).write_text("\n".join(lines))
    return [tmp_path / name for name in names]


def parts(corpus, folder):
    """Of each source: part -> the texts that it has."""
    survey = corpus.survey(folder)
    found = []
    for source in range(len(corpus.sources)):
        texts = {part: [] for part in PARTS}
        for part, piece in corpus.tagged(source, survey, folder):
            texts[part].append(piece.text)
        found.append(texts)
    return found


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("method", ["tail", "document"])
def test_each_document_is_there_once_over_all_sources(tmp_path, files, separate, method):
    (tmp_path / "scratch").mkdir()
    corpus = Corpus.of(files, Split(0.2, 0.1, method), deduplicate=True, separate=separate)
    found = parts(corpus, tmp_path / "scratch")
    assert corpus.survey(tmp_path / "scratch").num_duplicates == 3 + 10 + 2
    assert len(found) == (2 if separate else 1)
    text = "".join(text for source in found for part in PARTS for text in source[part])
    numbers = [int(line.split()[-1].rstrip(".")) for line in text.splitlines()]
    assert sorted(numbers) == list(range(60))


def test_separate_sources_are_divided_each_by_itself(tmp_path, files):
    for separate in (False, True):
        folder = tmp_path / f"scratch{separate}"
        folder.mkdir()
        found = parts(Corpus.of(files, Split(0.2), separate=separate), folder)
        assert [bool(source["validation"]) for source in found] == [True] * (1 + separate)
    first = files[0].read_text().count("\n") + 1
    size = sum(len(f"Document number {number}.\n") for number in [*range(30), 3, 4, 5])
    assert first == 33
    assert sum(len(text) for text in found[0]["validation"]) == pytest.approx(0.2 * size, abs=1)


def test_a_survey_is_made_once_and_kept(tmp_path, files, monkeypatch):
    corpus = Corpus.of(files, Split(), deduplicate=True)
    survey = corpus.survey(tmp_path)
    monkeypatch.setattr(module, "documents", None)  # any reading would fail now
    assert corpus.survey(tmp_path) == survey
    assert isinstance(survey, Survey)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_split_by_document_needs_no_survey(tmp_path, files, monkeypatch):
    monkeypatch.setattr(module, "documents", None)
    survey = Corpus.of(files, Split(method="document")).survey(tmp_path)
    assert (survey.total_bytes, survey.num_duplicates) == ([], 0)


@pytest.mark.parametrize("deduplicate", [False, True])
def test_a_vocabulary_is_learned_from_the_very_part_to_train_on(tmp_path, files, deduplicate):
    corpus = Corpus.of(files, Split(0.2, 0.1), deduplicate=deduplicate)
    (found,) = parts(corpus, tmp_path)
    assert list(corpus.training_texts()) == found["train"]


def test_nothing_can_be_learned_from_ids(tmp_path):
    (tmp_path / "train.bin").write_bytes(np.array([1, 2], np.uint16).tobytes())
    with pytest.raises(KerasGPTError, match="holds ids and no text to learn a vocabulary from"):
        list(Corpus.of([tmp_path / "train.bin"], Split()).training_texts())


def test_no_path_is_refused():
    with pytest.raises(UsageError, match="no data"):
        Corpus.of([], Split())
