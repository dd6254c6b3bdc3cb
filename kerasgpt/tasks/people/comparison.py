"""Blind pairs of continuations for people to judge: one page that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from kerasgpt.errors import KerasGPTError, counted
from kerasgpt.tasks.files.lines import JSON_LINES, ending, numbered_lines, numbered_objects, text_field

Sealed = Mapping[str, Any]
"""What a page does not show: ``a`` and ``b``, what wrote the texts; ``first``, which of them came first."""


@dataclass(frozen=True)
class Comparison:
    """Pairs in the order in which they are judged.

    Args:
        pairs: each with ``prompt``, ``first`` and ``second``, its two continuations in the order shown.
        sealed: what wrote which, see `seal`.
        num_identical: prompts that both sides continue alike, so that there is nothing to judge.
    """

    pairs: Sequence[Mapping[str, str]]
    sealed: str
    num_identical: int

    @property
    def name(self) -> str:
        """By which votes are known to be of this comparison and no other."""
        return name_of(self.sealed)


def compare(
    prompts: Sequence[str],
    texts: tuple[Sequence[str], Sequence[str]],
    sides: tuple[Mapping[str, Any], Mapping[str, Any]],
    seed: int = 0,
) -> Comparison:
    """Pair the continuations of two sides, in an order and with places that the seed draws.

    Each side comes first in half of the pairs (to within one): who prefers a place adds noise, and no bias.

    Args:
        prompts: what was continued.
        texts: by A and by B, one for each prompt.
        sides: what A and B are, in JSON; for the reader of the result.
        seed: of the order and of the places.

    Raises:
        KerasGPTError: the two sides are alike on every prompt.
    """
    differing = [index for index in range(len(prompts)) if texts[0][index] != texts[1][index]]
    if not differing:
        raise KerasGPTError(
            f"the two sides wrote the same text for {counted(len(prompts), 'prompt')}: nothing to judge;"
            " choose other models or settings, or a temperature above 0 and two seeds"
        )
    draw = random.Random(seed)
    draw.shuffle(differing)
    places = [index % 2 for index in range(len(differing))]  # 1: B is shown first
    draw.shuffle(places)
    pairs = [
        {"prompt": prompts[index], "first": texts[place][index], "second": texts[1 - place][index]}
        for index, place in zip(differing, places, strict=True)
    ]
    content = json.dumps(pairs, ensure_ascii=False).encode("utf-8", "surrogatepass")
    secret: dict[str, Any] = {
        "a": sides[0],
        "b": sides[1],
        "first": "".join("ab"[place] for place in places),
        "num_identical": len(prompts) - len(differing),
        "pairs": hashlib.sha256(content).hexdigest(),
    }
    return Comparison(pairs, seal(secret), secret["num_identical"])


def seal(secret: Sealed) -> str:
    """Put into letters that say nothing to whoever looks at the page; it is no secret kept from a spy."""
    return base64.b64encode(json.dumps(secret, sort_keys=True).encode()).decode()


def unseal(sealed: str) -> dict[str, Any]:
    """Read what `seal` wrote.

    Raises:
        ValueError: it is something else.
    """
    secret: dict[str, Any] = json.loads(base64.b64decode(sealed, validate=True))
    return secret


def name_of(sealed: str) -> str:
    """Sixteen hex digits of the hash of what is sealed, which has the hash of the pairs within it."""
    return hashlib.sha256(sealed.encode()).hexdigest()[:16]


def page(comparison: Comparison) -> str:
    """The page as HTML: no text of a model is ever markup in it, whatever it contains."""
    template = (resources.files("kerasgpt") / "assets" / "compare" / "page.html").read_text("utf-8")
    content = {
        "comparison": comparison.name,
        "sealed": comparison.sealed,
        "pairs": list(comparison.pairs),
    }
    # ASCII with \u escapes; as < cannot occur, neither can </script> or <!-- in the middle of the data.
    data = json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return template.replace("$comparison", data, 1)


def read_prompts(path: str) -> list[str]:
    """Read prompts: a line each, or in files of JSON lines an object with ``prompt``.

    Empty lines are left out; a name that ends in ``.gz`` is unpacked.

    Raises:
        KerasGPTError: it cannot be read, a line is no such object, or there is no prompt.
    """
    if ending(path) in (*JSON_LINES, ".json"):
        prompts = [
            text_field(value, "prompt", place, may_be_empty=True) for place, value in numbered_objects(path)
        ]
    else:
        prompts = [line for _, line in numbered_lines(path) if line.strip()]
    if not prompts:
        raise KerasGPTError(f"{path}: holds no prompt; give one a line")
    return prompts
