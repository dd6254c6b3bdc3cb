from pathlib import Path
from threading import Thread

import pytest

from kerasgpt.generation.rows import Token
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.runtime.language_model import open_bundle
from kerasgpt.runtime.submission import Pieces, Submission


@pytest.fixture
def submission(bundle: Path) -> Submission:
    settings = GenerationConfig(stop=("STOP",))
    (request,) = open_bundle(bundle, num_threads=1).requests.read(["ab"], [settings])
    return Submission(request)


def write(submission: Submission, text: bytes) -> None:
    for index in text:
        ends = submission.ends_with(index)
        submission.take(Token(0, index, -1.0, "stop" if ends else None))


def test_pieces_come_as_they_are_written(submission: Submission) -> None:
    pieces = iter(submission)
    write(submission, b"one")
    assert [next(pieces) for _ in range(3)] == ["o", "n", "e"]
    write(submission, "é S".encode())
    submission.end()
    assert list(pieces) == ["é", " ", "S"]
    assert list(submission) == []
    assert submission.result().text == "oneé S"
    assert submission.result().logprobs == [-1.0] * 7


def test_whoever_waits_is_woken(submission: Submission) -> None:
    found: list[str] = []
    waiters = [
        Thread(target=lambda: found.append("".join(submission))),
        Thread(target=lambda: found.append(submission.result().text)),
    ]
    for waiter in waiters:
        waiter.start()
    write(submission, b"one STOP")
    submission.end()
    for waiter in waiters:
        waiter.join(10)
    assert found == ["one ", "one "]
    assert submission.result().finish_reason == "stop"


def test_what_went_wrong_is_raised(submission: Submission) -> None:
    write(submission, b"a")
    submission.end(MemoryError("no room"))
    with pytest.raises(MemoryError, match="no room"):
        submission.result()
    pieces = iter(submission)
    assert next(pieces) == "a"
    with pytest.raises(MemoryError):
        next(pieces)


def test_nobody_need_wait_for_a_cancelled_one(submission: Submission) -> None:
    submission.cancel()
    submission.cancel()
    assert submission.is_cancelled
    assert (submission.result().text, submission.result().finish_reason) == ("", "length")
    assert list(submission) == []
    assert not submission.begin()


def test_what_has_begun_is_ended_by_its_writer(submission: Submission) -> None:
    assert submission.begin()
    write(submission, b"a")
    submission.cancel()
    write(submission, b"b")
    submission.end()
    assert submission.result().text == "ab"


def test_an_end_that_goes_wrong_wakes_whoever_waits(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(submission.request.text, "_decoder")
    submission.end()
    with pytest.raises(AttributeError, match="_decoder"):
        submission.result()
    with pytest.raises(AttributeError):
        list(submission)


def test_pieces_that_nobody_asks_for_are_cancelled(submission: Submission) -> None:
    submission.begin()
    pieces = Pieces(submission)
    write(submission, b"a")
    assert next(pieces) == "a"
    pieces.close()
    assert submission.is_cancelled
    assert list(pieces) == []


def test_pieces_that_are_dropped_before_the_first_are_cancelled(submission: Submission) -> None:
    pieces = Pieces(submission)
    assert not submission.is_cancelled
    del pieces
    assert submission.result().text == ""
