"""A process that is asked to end cleans up first, even where a library passes over what is raised."""

import signal
import subprocess
import sys

import pytest

from kerasgpt import signals

CLEANS = """
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("clean")
"""
PASSED_OVER = """
    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException:
        pass
    try:
        time.sleep(60)
    finally:
        print("clean")
"""


DEFAULT = "signal.signal(signal.SIGHUP, signal.SIG_DFL)"  # whoever runs the tests may ignore it


def ended(body: str, number: signal.Signals, before: str = DEFAULT) -> tuple[int, str]:
    """The code and what is printed of a process with this block, which gets a signal once it is ready."""
    program = f"import signal, time\nfrom kerasgpt import signals\n{before}\nwith signals.raised():{body}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        printed = process.stdout.read()
    return process.returncode, printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("body", [CLEANS, PASSED_OVER], ids=["at once", "passed over"])
def test_a_process_cleans_up_and_ends(body, number):
    assert ended(body, number) == (128 + number, "clean\n")


def test_what_is_ignored_stays_ignored():
    """As nohup has it."""
    before = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    body = CLEANS.replace("time.sleep(60)", "time.sleep(1)")
    assert ended(body, signal.SIGHUP, before) == (0, "clean\n")


def test_after_the_block_all_is_as_before():
    before = signal.getsignal(signal.SIGTERM)
    with signals.raised():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_signal_does_not_disturb_who_cleans_up():
    """As two SIGHUPs come when a terminal is closed."""
    body = CLEANS.replace('print("clean")', "signal.raise_signal(signal.SIGTERM)\n        print('clean')")
    assert ended(body, signal.SIGHUP) == (128 + signal.SIGHUP, "clean\n")
