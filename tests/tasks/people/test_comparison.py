"""Blind pairs: their order and places, what a page holds, and what it hides."""

import gzip
import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.people.comparison import compare, name_of, page, read_prompts, unseal

SIDES = ({"model": "runs/secret-one"}, {"model": "runs/secret-two"})
HOSTILE = "</script /></script><script>alert(1)</script><!--<script> & \u2028 $comparison 北京 \ud800"


def example(count: int = 20, seed: int = 0):
    prompts = [f"prompt {number}" for number in range(count)]
    texts = [f"one {number}" for number in range(count)], [f"two {number}" for number in range(count)]
    return compare(prompts, texts, SIDES, seed)


class Page(HTMLParser):
    """The tags of a page, its visible text, and the data of its script of type JSON."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.shown, self.data, self._where = Counter(), [], [], "", ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs
        self._where = "json" if ("type", "application/json") in attrs else tag

    def handle_data(self, data):
        if self._where == "json":
            self.data += data
        elif self._where not in ("script", "style"):
            self.shown.append(data)

    def handle_endtag(self, tag):
        self._where = ""


def test_each_pair_is_of_one_prompt_and_the_seal_says_which_is_which():
    comparison = example()
    secret = unseal(comparison.sealed)
    assert (secret["a"], secret["b"]) == SIDES
    assert Counter(secret["first"]) == {"a": 10, "b": 10}
    for pair, first in zip(comparison.pairs, secret["first"], strict=True):
        number = pair["prompt"].split()[1]
        shown = {"a": (f"one {number}", f"two {number}"), "b": (f"two {number}", f"one {number}")}[first]
        assert (pair["first"], pair["second"]) == shown
    assert sorted(pair["prompt"] for pair in comparison.pairs) == sorted(f"prompt {n}" for n in range(20))


def test_order_and_places_follow_the_seed():
    assert example(seed=3) == example(seed=3)
    assert example(seed=3).name != example(seed=4).name
    assert [pair["prompt"] for pair in example().pairs] != [f"prompt {number}" for number in range(20)]
    assert len({unseal(example(seed=seed).sealed)["first"] for seed in range(10)}) == 10


def test_the_name_is_of_the_pairs_too():
    other = compare(["p"], (["x"], ["y"]), SIDES)
    assert other.name != compare(["p"], (["x"], ["z"]), SIDES).name
    assert other.name == name_of(other.sealed)


def test_what_both_sides_wrote_is_not_judged():
    comparison = compare(["p", "q"], (["same", "x"], ["same", "y"]), SIDES)
    assert [pair["prompt"] for pair in comparison.pairs] == ["q"]
    assert comparison.num_identical == unseal(comparison.sealed)["num_identical"] == 1
    with pytest.raises(KerasGPTError, match="same text for 1 prompt: nothing to judge"):
        compare(["p"], (["same"], ["same"]), SIDES)


def test_a_page_shows_neither_side_and_needs_nothing():
    html = page(example())
    assert "secret" not in html
    read = Page(html)
    assert all(name not in ("src", "href") for name, _ in read.attributes)
    assert not re.search(r"https?://|@import|url\(", html)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'") in (
        read.attributes
    )
    assert set(json.loads(read.data)["pairs"][0]) == {"prompt", "first", "second"}


def test_no_text_is_markup():
    comparison = compare([HOSTILE], ([HOSTILE + "1"], [HOSTILE + "2"]), SIDES)
    harmless, hostile = Page(page(example())), Page(page(comparison))
    assert hostile.tags == harmless.tags
    assert hostile.shown == harmless.shown
    assert json.loads(hostile.data)["pairs"] == list(comparison.pairs)
    assert "<" not in hostile.data


OBJECTS = '{"prompt": "a\\nb"}\n\n{"prompt": "", "id": 3}'


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\r\n\n  \n two", ["one", " two"]),
        ("a.txt", "\ufeffone\ntwo", ["one", "two"]),
        *((name, OBJECTS, ["a\nb", ""]) for name in ("a.jsonl", "A.JSONL", "a.ndjson", "a.json")),
        ("a.jsonl", f"\ufeff{OBJECTS}", ["a\nb", ""]),
    ],
)
def test_prompts(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, newline="")
    assert read_prompts(str(tmp_path / name)) == expected
    with gzip.open(tmp_path / f"{name}.gz", "wb") as file:
        file.write(content.encode())
    assert read_prompts(str(tmp_path / f"{name}.gz")) == expected


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", None, "cannot read (No such file"),
        ("a.txt", b" \n\n", "holds no prompt"),
        ("a.txt", b"ab\n\xff", "line 2: not UTF-8"),
        ("a.jsonl", b'\n{"prompt"}', "line 2: not valid JSON"),
        ("a.jsonl", b'{"prompt": 3}', 'line 1: has no text "prompt"'),
        ("a.jsonl", b"[1]", "line 1: is no object"),
        pytest.param("a.jsonl", b"[" * 100_000, "line 1: not valid JSON (nested too deep)", id="deep"),
    ],
)
def test_bad_prompts(tmp_path, name, content, sentence):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KerasGPTError, match=re.escape(sentence)) as caught:
        read_prompts(str(path))
    assert str(path) in str(caught.value)
