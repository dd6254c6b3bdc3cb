"""Ctrl-C, SIGTERM or SIGHUP, once and twice."""

import signal
import threading

import pytest

from kerasgpt.signals import EndedBySignal
from kerasgpt.training.interruption import InterruptedRunError, interruptible


@pytest.fixture(autouse=True)
def not_ignored():
    """As a terminal has it, and nohup not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "end"),
    [
        (signal.SIGINT, KeyboardInterrupt),
        (signal.SIGTERM, EndedBySignal),
    ],
)
def test_the_first_signal_is_a_request_and_the_second_an_end(number, end):
    said = []
    before = signal.getsignal(number)
    with pytest.raises(end) as raised, interruptible(said.append, print) as interruption:
        assert not interruption.is_requested
        signal.raise_signal(number)
        assert interruption.is_requested
        assert InterruptedRunError("stopped", interruption.number).exit_code == 128 + number
        assert len(said) == 1
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    if end is EndedBySignal:
        assert raised.value.code == 128 + number


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM])
def test_a_terminal_that_goes_away_tells_so_more_than_once(first):
    said, hushed = [], []
    with interruptible(said.append, lambda: hushed.append(1)) as interruption:
        for number in (first, signal.SIGHUP, signal.SIGHUP):
            signal.raise_signal(number)
        assert interruption.number == first
        assert len(said) == (first == signal.SIGTERM)
        assert hushed
        with pytest.raises(EndedBySignal):
            signal.raise_signal(signal.SIGTERM)


def test_what_a_script_starts_in_the_background_can_be_interrupted():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible(lambda _: None, print) as interruption:
            signal.raise_signal(signal.SIGINT)
            assert interruption.number == signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_nohup_ignores_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible(print, print) as interruption:
        signal.raise_signal(signal.SIGHUP)
        assert not interruption.is_requested
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_other_threads_leave_signals_alone():
    found = []

    def work():
        with interruptible(found.append, print) as interruption:
            found.append(interruption.is_requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_shells_see_an_interruption():
    assert InterruptedRunError("stopped").exit_code == 128 + signal.SIGINT
