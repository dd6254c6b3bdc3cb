"""The page of `kerasgpt compare` in a headless Chromium: judged by keys and clicks, kept, exported, counted.

With a second argument, a folder, the screenshots and the votes are left there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasgpt.tasks.people.comparison import Comparison, compare, page, unseal
from kerasgpt.tasks.people.votes import count, read_votes

HERE = Path(__file__).parent
ENVIRONMENT = Path(sys.executable).parents[1]  # Node's packages lie in the same folder as Python's
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp; 北京 \u2028 "
PLAY = "Now is the winter of our discontent\nMade glorious summer by this sun of York;\n" * 3
CHOSEN = ["first", "second", "tie", "tie", "second", "first"]  # what compare_page.mjs chooses


def main(folder: str) -> int:
    """Compare what a person saw and left with what was to be judged."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        names = ", ".join(BROWSERS)
        print(
            f"compare_page: needs a Chromium, on the path as {names}; on Debian apt-get install chromium",
            file=sys.stderr,
        )
        return 1
    comparison = example()
    (Path(folder) / "page.html").write_text(page(comparison), "utf-8")
    command = ["node", HERE / "compare_page.mjs", ENVIRONMENT, browser, folder]
    seen = json.loads(subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout)
    print(f"       Chromium {seen['browser']}")
    found = [*problems(seen, comparison, folder), *wrong_count(Path(folder) / "votes.json", comparison)]
    for problem in found:
        print(f"compare_page: {problem}", file=sys.stderr)
    return int(bool(found))


def example() -> Comparison:
    """Six pairs: plain ones, long ones, an empty one, and some that would be markup if one let them."""
    prompts = ["GLOUCESTER:\n", HOSTILE, "ROMEO:\n", "x" * 300, "JULIET:\nO ", "The end"]
    texts = [f"{PLAY}Plain {number}" for number in range(6)], [f"{HOSTILE}{number}" for number in range(6)]
    texts[1][2] = ""
    return compare(prompts, texts, ({"model": "one"}, {"model": "two"}), seed=2)


def problems(seen: dict[str, Any], comparison: Comparison, folder: str) -> Iterator[str]:
    """What was otherwise than it should be."""
    pairs = [[pair["prompt"], pair["first"], pair["second"]] for pair in comparison.pairs]
    counts = ["3 of 6", "1 of 6", "2 of 6", "5 of 6", "5 of 6", "6 of 6"]
    expected = {
        "errors": [],
        "shown": pairs[:4],
        "counts": counts,
        "widths": [1200, 360],
        "focus": ["prompt-title"],
        "done": True,
    }
    for name, value in expected.items():
        if seen[name] != value:
            yield f"{name} is {seen[name]}, expected {value}"
    elsewhere = [url for url in seen["requests"] if not url.startswith(("file://", "blob:"))]
    if elsewhere:
        yield f"the page asked for {', '.join(elsewhere)}"
    if min(seen["targets"]) < 44:
        yield f"a button is {min(seen['targets'])} pixels high: too little for a thumb"
    if not seen["file"].startswith(f"votes-{comparison.name}-"):
        yield f"the votes are called {seen['file']}"


def wrong_count(votes: Path, comparison: Comparison) -> Iterator[str]:
    """Whether the votes come out as they were chosen."""
    first = unseal(comparison.sealed)["first"]
    sides = {"first": lambda place: place, "second": lambda place: "ab".replace(place, "")}
    winners = [
        sides[choice](place) if choice in sides else choice
        for choice, place in zip(CHOSEN, first, strict=True)
    ]
    read = read_votes([str(votes)])
    if list(read[0].winners) != winners or count(read)["votes"]["tie"] != 2:
        yield f"the votes are {read[0].winners}, expected {winners}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(sys.argv[2] if len(sys.argv) > 2 else temporary))
