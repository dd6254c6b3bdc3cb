"""Options that take several words, such as ``--data a.txt b.txt``, which a shell's patterns make of one."""

from __future__ import annotations

from collections.abc import Sequence

import click


class SeveralCommand(click.Command):
    """A command whose repeatable options with a metavar in dots take every word up to the next option.

    But for the last one where the command would lack an argument of its own.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, each of those words as if the option stood before it."""
        repeated = {
            name
            for parameter in self.params
            if isinstance(parameter, click.Option) and (parameter.metavar or "").endswith("...")
            for name in parameter.opts
        }
        words, added = _spread(args, repeated)
        if added and self._lacks_argument(ctx, words):  # the option took it too, as in --data a.txt BUNDLE
            del words[added[-1]]
        return super().parse_args(ctx, words)

    def _lacks_argument(self, ctx: click.Context, words: list[str]) -> bool:
        """Whether an argument that the command wants is not among the words before ``--``."""
        own = words[: words.index("--")] if "--" in words else list(words)
        found, _, _ = self.make_parser(ctx).parse_args(own)
        return any(
            parameter.required and not isinstance(found.get(parameter.name), str)
            for parameter in self.params
            if isinstance(parameter, click.Argument) and parameter.nargs == 1
        )


def _spread(arguments: Sequence[str], repeated: set[str]) -> tuple[list[str], list[int]]:
    """Repeat such an option before each of its words; gives also where it was added.

    >>> _spread(["--data", "a", "b", "--out", "c"], {"--data"})
    (['--data', 'a', '--data', 'b', '--out', 'c'], [2])
    """
    words: list[str] = []
    added: list[int] = []
    option, has_word = "", False
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*words, *arguments[position:]], added
        if argument.startswith("-") and argument != "-":
            name, _, word = argument.partition("=")
            option, has_word = name if name in repeated else "", bool(word)
        elif option:
            if has_word:
                added.append(len(words))
                words.append(option)
            has_word = True
        words.append(argument)
    return words, added
