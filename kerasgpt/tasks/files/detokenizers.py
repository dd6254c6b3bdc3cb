"""Texts whose words were taken apart, put together again and losing nothing: WikiText, Penn Treebank."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

_VERBATIM = "  "  # two spaces: after a word, it is as it was; before a line, the line is
_ABBREVIATION = re.compile(
    r"(?:[^\W\d_]|[^\W\d_]+\.[\w.]*|Mr|Mrs|Ms|Dr|St|Jr|Sr|Lt|Col|Gen|Capt|Sgt|Maj|Rev|Prof|Hon|vs|etc|No|al|cf"
    r"|Mt|Ft|Bros|Inc|Ltd|Co|Corp|Vol|pp|approx|ca|Op|op|Nos|Pvt|Cpl|Gov|Sen|Rep|Pres|Cmdr|Adm|Ave|Blvd)\."
)
_CONTRACTION = re.compile(r"'(?:s|t|re|ve|ll|d|m)", re.IGNORECASE)
_CONTRACTED = re.compile(rf"(.+?)({_CONTRACTION.pattern})", re.IGNORECASE)
_GLUE = re.compile(r"(?<=\w)-(?=\w)|(?<=\d)[,.](?=\d)")


class Detokenizer(ABC):
    """Takes away the spaces that tokenizing put in, where they can be put back from the text alone.

    A line is a row of tokens with spaces between them. Neighbours that belong together are joined as far as
    `_parts`, which sees only what was joined, takes them apart again in the same way; a token that it would
    take apart wrongly stands alone and has two spaces behind it. So ``tokenize(detokenize(text)) == text``,
    whatever the text is.
    """

    def detokenize(self, text: str) -> str:
        """Put words together."""
        *lines, last = text.split("\n")
        end = last and (
            self._joined_line(last) or _VERBATIM + last
        )  # what ends with a line has none after it
        return "\n".join([*map(self._joined_line, lines), end])

    def tokenize(self, text: str) -> str:
        """Take them apart again as they were."""
        *lines, last = text.split("\n")
        return "\n".join([*map(self._parted_line, lines), last and self._parted_line(last)])

    def documents(self, text: str) -> list[str]:
        """Divide a file's text where a document begins; joined, they are the text."""
        return [text]

    def _joined_line(self, line: str) -> str:
        inside = line[1:-1] if len(line) > 1 and line[0] == line[-1] == " " else line
        joined = _spaced(list(self._chunks(inside.split(" ")))) if inside.strip() else ""
        return joined if self._parted_line(joined) == line else _VERBATIM + line

    def _parted_line(self, line: str) -> str:
        if line.startswith(_VERBATIM):
            return line.removeprefix(_VERBATIM)
        if not line:
            return self._empty
        chunks = re.findall(r"(\S+)( *)", line)
        tokens = [
            token
            for chunk, spaces in chunks
            for token in ([chunk] if len(spaces) == len(_VERBATIM) else self._parts(chunk))
        ]
        return f" {' '.join(tokens)} "

    def _chunks(self, tokens: Sequence[str]) -> Iterator[tuple[str, bool]]:
        """Join tokens as far as they can be taken apart: each chunk, and whether it must be let alone."""
        run: list[str] = []
        quotes = 0
        for token in tokens:
            if run and not self._belong(run[-1], token, quotes):
                yield from self._longest(run)
                run = []
            run.append(token)
            quotes += token == '"'
        yield from self._longest(run)

    def _longest(self, run: list[str]) -> Iterator[tuple[str, bool]]:
        while run:
            for end in range(len(run), 0, -1):
                chunk = self._join(run[:end])
                if self._parts(chunk) == run[:end] or end == 1:
                    break
            yield chunk, self._parts(chunk) != run[:end]
            run = run[end:]

    def _join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)

    _empty = ""  # what stands for an empty line

    @abstractmethod
    def _belong(self, left: str, right: str, quotes: int) -> bool:
        """Whether two neighbours are written together, so many quotation marks being before the second."""

    @abstractmethod
    def _parts(self, chunk: str) -> list[str]:
        """The tokens of something without spaces."""


class WikiText(Detokenizer):
    r"""Of WikiText's files.

    >>> WikiText().detokenize(" He had a guest @-@ starring role in \" Teddy 's Story \" . ")
    'He had a guest-starring role in "Teddy\'s Story".'
    """

    _empty = " "
    _title = re.compile(r"^(?= = [^= ](?:.*[^= ])? = $)", re.MULTILINE)
    _openers = frozenset("([$£€¥")
    _closers = frozenset(",.;:!?)]%")

    def documents(self, text: str) -> list[str]:
        """An article begins with its title, `` = Title = ``; what is before the first belongs to it."""
        starts = [match.start() for match in self._title.finditer(text)][1:]
        return [text[begin:end] for begin, end in zip([0, *starts], [*starts, len(text)], strict=True)]

    def _belong(self, left: str, right: str, quotes: int) -> bool:
        if '"' in (left, right):  # quotes has counted the left one, and not the right one
            opening = left == '"' and quotes % 2 == 1
            closing = right == '"' and quotes % 2 == 1
            return opening or closing or (left == '"' and right in self._closers) or left in self._openers
        return (
            right in self._closers
            or left in self._openers
            or _CONTRACTION.fullmatch(right) is not None
            or (right == "'" and left.endswith("s"))
            or left in ("@-@", "@,@", "@.@")
            or right in ("@-@", "@,@", "@.@")
            or left == right == "="
        )

    def _join(self, tokens: Sequence[str]) -> str:
        return "".join(token[1] if token in ("@-@", "@,@", "@.@") else token for token in tokens)

    def _parts(self, chunk: str) -> list[str]:
        if set(chunk) == {"="}:
            return list(chunk)
        before, after = [], []
        while len(chunk) > 1 and chunk[0] in '"([$£€¥':
            before.append(chunk[0])
            chunk = chunk[1:]
        while len(chunk) > 1 and (end := self._end(chunk)):
            after.append(end)
            chunk = chunk.removesuffix(end)
        return [*before, *self._core(chunk), *reversed(after)]

    def _end(self, chunk: str) -> str:
        if chunk.endswith("...") or _ABBREVIATION.fullmatch(chunk):
            return ""
        if chunk[-1] in '",.;:!?)]%' or chunk.endswith("s'"):
            return chunk[-1]
        found = _CONTRACTED.fullmatch(chunk)
        return found[2] if found else ""

    def _core(self, chunk: str) -> list[str]:
        return _GLUE.sub(lambda match: f" @{match[0]}@ ", chunk).split(" ")


class PennTreebank(Detokenizer):
    """Of the Penn Treebank's files for language modelling.

    >>> PennTreebank().detokenize(" it was n't $ N billion ")
    "it wasn't $N billion"
    """

    def _belong(self, left: str, right: str, quotes: int) -> bool:
        return (
            right in ("n't", "%")
            or left in ("$", "#")
            or _CONTRACTION.fullmatch(right) is not None
            or (right == "'" and left.endswith("s"))
        )

    def _parts(self, chunk: str) -> list[str]:
        before, after = [], []
        while len(chunk) > 1 and chunk[0] in "$#":
            before.append(chunk[0])
            chunk = chunk[1:]
        while len(chunk) > 1 and (end := self._end(chunk)):
            after.append(end)
            chunk = chunk.removesuffix(end)
        return [*before, chunk, *reversed(after)]

    def _end(self, chunk: str) -> str:
        if chunk.endswith(("%", "s'")):
            return chunk[-1]
        if chunk.endswith("n't") and chunk != "n't":
            return "n't"
        found = _CONTRACTED.fullmatch(chunk)
        return found[2] if found else ""


DETOKENIZERS: dict[str, Detokenizer] = {"wikitext": WikiText(), "ptb": PennTreebank()}
"""Name on the command line -> the detokenizer."""


def _spaced(chunks: Sequence[tuple[str, bool]]) -> str:
    """Lay chunks one after another, two spaces behind those that are to be let alone."""
    text = "".join(chunk + (_VERBATIM if alone else " ") for chunk, alone in chunks)
    return text if chunks[-1][1] else text[:-1]
