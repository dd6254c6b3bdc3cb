"""The command line: one table, subcommand -> "module:command", imported when chosen."""

from __future__ import annotations

import difflib
import errno
import gc
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress

import click

from kerasgpt import signals
from kerasgpt.atomic import scratch_folder
from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError
from kerasgpt.version import __version__

COMMANDS = {
    "train": ("kerasgpt.commands.train:command", "Learn a GPT-2 from text, or go on learning."),
    "tokenizer": ("kerasgpt.commands.tokenizer:command", "Learn a vocabulary; encode and decode text."),
    "import": ("kerasgpt.commands.import_:command", "Turn a checkpoint of another form into a model."),
    "export": ("kerasgpt.commands.export:command", "Turn a model or run into one verified bundle."),
    "verify": ("kerasgpt.commands.verify:command", "Prove that a bundle is intact and in parity."),
    "generate": ("kerasgpt.commands.generate:command", "Continue prompts."),
    "score": ("kerasgpt.commands.score:command", "Score continuations: JSON lines in and out."),
    "batch": ("kerasgpt.commands.batch:command", "Continue or score files of texts, in bulk."),
    "evaluate": ("kerasgpt.commands.evaluate:command", "Judge a model by a task, such as perplexity."),
    "compare": ("kerasgpt.commands.compare:command", "Let people judge two models blindly; count votes."),
    "inspect": ("kerasgpt.commands.inspect:command", "Show what a model, run or bundle holds."),
    "bench": ("kerasgpt.commands.bench:command", "Measure a bundle's speed and memory on this machine."),
    "demo": ("kerasgpt.commands.demo:command", "Train, export, verify and generate, in minutes."),
}

INTERRUPTED = 130  # the shell's convention: 128 + SIGINT
UNREAD = 141  # as a shell says that SIGPIPE has ended a process
TOLD_BY_EXIT_CODE = {"verify", "export", "import", "train", "batch", "bench", "demo"}
"""Commands that do or tell more than they print."""


class CommandTable(click.Group):
    """A click group that imports a subcommand when it is called, so that ``--help`` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table, which is the order of a project's life."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = resolve(COMMANDS[cmd_name][0])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, or name the nearest."""
        nearest = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = f" did you mean '{nearest[0]}'?" if nearest else f" one of: {', '.join(COMMANDS)}"
            raise click.UsageError(f"no such command '{args[0]}':{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kerasgpt")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def cli(debug: bool) -> None:
    """GPT-2 in Keras 3: fit it, export one verified folder, get text out everywhere."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None means those of the process.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 ended by a reader that has gone,
        128 and the number of another signal that ended it, be it a run that has saved itself.
    """
    _open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    warnings.showwarning = _show_warning
    gc.set_threshold(100_000)  # the tables of a vocabulary are no garbage: to look for some takes 20 ms
    with signals.raised():
        return _exit_code(given)


def _exit_code(given: list[str]) -> int:
    try:
        code = cli.main(given, prog_name="kerasgpt", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (click.Abort, KeyboardInterrupt) as error:
        said = str(error.__cause__ or error)  # click makes an Abort of an interrupt
        _tell(said or "interrupted")
        return INTERRUPTED
    except SystemExit as end:
        # When whoever read our output has gone, as `head` does, click wraps it and ends: that is no failure,
        # but where more than the output was wanted.
        is_unread = type(sys.stdout).__module__ == "click.utils"
        if is_unread:
            return UNREAD if TOLD_BY_EXIT_CODE & set(given) else 0
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if "--debug" in given:
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    """Print one sentence for an error, and give its exit code."""
    if isinstance(error, click.ClickException):
        sentence, code = error.format_message(), error.exit_code
    elif isinstance(error, KerasGPTError):
        sentence, code = str(error), error.exit_code
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        sentence, code = (
            f"{error.strerror}; free some space, in {scratch_folder()} too, or set TMPDIR to another",
            1,
        )
    elif isinstance(error, MemoryError):
        sentence, code = "not enough memory: close other programs, or raise the limit ('ulimit -v')", 1
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        sentence, code = f"{error.filename}: {error.strerror}; check the path and its permissions", 1
    else:
        first_line = next(iter(str(error).splitlines()), "")
        sentence, code = f"{type(error).__name__}: {first_line} (run 'kerasgpt --debug ...' for more)", 1
    _tell(sentence)
    return code


def _tell(sentence: str) -> None:
    with suppress(OSError):  # nobody to tell, be it that the terminal is gone: the exit code tells the rest
        print(f"kerasgpt: {sentence}", file=sys.stderr, flush=True)


def _open_closed_streams() -> None:
    """Give a process that was started without standard streams, as daemons are, ones that hold nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nothing = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 # stays; takes the lowest number
            setattr(sys, name, nothing)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    # A note to the user, such as a prompt cut to the context; not the libraries' talk among themselves.
    if category.__module__.startswith("kerasgpt"):
        print(f"kerasgpt: {message}", file=sys.stderr)
