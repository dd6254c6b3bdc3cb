"""Ctrl-C, or SIGTERM, once and twice."""

import signal
import threading

import pytest

from kerasgpt.training.interruption import InterruptedRunError, interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_the_first_signal_is_a_request_and_the_second_an_interrupt(number):
    said = []
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible(said.append) as interruption:
        assert not interruption.is_requested
        signal.raise_signal(number)
        assert interruption.is_requested
        assert len(said) == 1
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_other_threads_leave_signals_alone():
    found = []

    def work():
        with interruptible(found.append) as interruption:
            found.append(interruption.is_requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_shells_see_an_interruption():
    assert InterruptedRunError.exit_code == 128 + signal.SIGINT
