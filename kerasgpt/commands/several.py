"""Options that take several words, such as ``--data a.txt b.txt``, which a shell's patterns make of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click


class SeveralCommand(click.Command):
    """A command whose repeatable options with a metavar in dots take every word up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, each of those words as if the option stood before it."""
        repeated = {
            name
            for parameter in self.params
            if isinstance(parameter, click.Option) and (parameter.metavar or "").endswith("...")
            for name in parameter.opts
        }
        return super().parse_args(ctx, list(_spread(args, repeated)))


def _spread(arguments: Sequence[str], repeated: set[str]) -> Iterator[str]:
    """Repeat such an option before each of its words.

    >>> list(_spread(["--data", "a", "b", "--out", "c"], {"--data"}))
    ['--data', 'a', '--data', 'b', '--out', 'c']
    """
    option, has_word = "", False
    for position, argument in enumerate(arguments):
        if argument == "--":
            yield from arguments[position:]
            return
        if argument.startswith("-") and argument != "-":
            name, _, word = argument.partition("=")
            option, has_word = name if name in repeated else "", bool(word)
        elif option:
            if has_word:
                yield option
            has_word = True
        yield argument
