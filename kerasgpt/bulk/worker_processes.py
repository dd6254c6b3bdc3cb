"""Worker processes of Beam's own runner: one that dies is told of, where Beam would wait for it for ever."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    SubprocessSdkWorkerHandler,
    WorkerHandler,
)
from apache_beam.runners.portability.local_job_service import SubprocessSdkWorker

from kerasgpt.errors import first_line

MODULE = "apache_beam.runners.worker.sdk_worker_main"
SECONDS_BETWEEN_LOOKS = 0.2
KILLED = (-9, 137)  # by itself, or as a shell tells of it


class WatchedWorker(SubprocessSdkWorkerHandler):
    """A worker process whose end ends what is asked of it, see `watched`."""

    def start_worker(self) -> None:
        """Start the process, and a thread that waits for its end."""
        self._is_closing = threading.Event()
        self.worker = SubprocessSdkWorker(
            command_line(Path.cwd()).encode(), self.control_address, self.provision_info, self.worker_id
        )
        self.worker_thread = threading.Thread(name="run_worker", target=self._run)
        self.worker_thread.start()

    def close(self) -> None:
        """End the process; that it has ended is no failure from here on."""
        self._is_closing.set()
        super().close()

    def _run(self) -> None:
        try:
            self.worker.run()
        except RuntimeError as error:
            code = re.search(r"-?\d+$", str(error))  # else it could not even be started
            told = ending(int(code[0])) if code else f"no worker process: {first_line(error)}"
            while not self._is_closing.wait(SECONDS_BETWEEN_LOOKS):  # more may be asked of it
                self._answer_all(told)

    def _answer_all(self, error: str) -> None:
        waiting = self.control_conn._futures_by_id  # its own abort() does not reach who waits for data
        for number in list(waiting):
            waiting.pop(number).set(beam_fn_api_pb2.InstructionResponse(instruction_id=number, error=error))


def ending(code: int) -> str:
    """What to say of a process that ended with a code.

    >>> ending(1)
    'a worker process has ended with exit code 1'
    """
    if code in KILLED:
        return (
            "a worker process was killed, as happens where memory runs out: give fewer --direct_num_workers,"
            " or --share-model"
        )
    return f"a worker process has ended with exit code {code}"


def command_line(folder: Path) -> str:
    """How a worker process is started, in a folder.

    Python looks for modules in that folder first, so that a random.py of one's own there would be taken for
    Python's (``-P`` says not to), and this package is found nowhere else where it was not installed.
    """
    is_installed = Path(__file__).resolve().parents[2] != folder.resolve()
    words = [sys.executable, *(["-P"] if is_installed else []), "-m", MODULE]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


@contextmanager
def watched() -> Iterator[None]:
    """Let workers that die be told of by an error, in one sentence."""
    environments, hook = WorkerHandler._registered_environments, threading.excepthook
    theirs = environments[python_urns.SUBPROCESS_SDK]

    def tell(arguments: threading.ExceptHookArgs) -> None:
        if not issubclass(arguments.exc_type, grpc.RpcError):  # of threads that read what the worker says
            hook(arguments)

    environments[python_urns.SUBPROCESS_SDK] = (WatchedWorker, bytes)
    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = hook
        environments[python_urns.SUBPROCESS_SDK] = theirs
