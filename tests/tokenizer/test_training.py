"""Learning a vocabulary: against a naive learner, deterministic, with the agreed numbering."""

import itertools
import re
import subprocess
import sys
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.training import learn_merges

ROOT = Path(__file__).parents[2]
TEXT = "low low low low low lower lower newest newest newest newest newest newest widest widest widest"


def naive_merges(words, count):
    """Sennrich et al.'s algorithm 1 on space-separated words, as a list of the pieces it makes."""
    table = {tuple(word): frequency for word, frequency in Counter(words).items()}
    made = []
    for _ in range(count):
        pairs = Counter()
        for pieces, frequency in table.items():
            for pair in itertools.pairwise(pieces):
                pairs[pair] += frequency
        best = max(pairs.values())
        candidates = [pair for pair, frequency in pairs.items() if frequency == best]
        if len(candidates) > 1:
            break  # a tie may be broken either way
        made.append("".join(candidates[0]))
        table = {merged(pieces, candidates[0]): frequency for pieces, frequency in table.items()}
    return made


def merged(pieces, pair):
    result, index = [], 0
    while index < len(pieces):
        if pieces[index : index + 2] == pair:
            result.append("".join(pair))
            index += 2
        else:
            result.append(pieces[index])
            index += 1
    return tuple(result)


def test_makes_the_merges_of_the_naive_algorithm():
    shakespeare = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text()[:60_000]
    words = re.findall("[a-z]+", shakespeare.lower())
    expected = naive_merges([f"Ġ{word}" for word in words], 60)
    assert len(expected) > 20  # the comparison must compare something
    learned = ["".join(pair) for pair in Tokenizer.learn([" " + " ".join(words)], 257 + len(expected)).merges]
    assert learned == expected


def test_the_numbering_is_bytes_then_merges_then_end_of_text():
    tokenizer = Tokenizer.learn([TEXT], 262)
    assert tokenizer.vocabulary_size == 262
    assert tokenizer.pieces[:256] == [bytes([byte]) for byte in range(256)]
    assert tokenizer.end_of_text_id == 261


LEARN = """
import sys
from kerasgpt.tokenizer.bpe import Tokenizer
tokenizer = Tokenizer.learn(sys.stdin, 600, special_tokens=["<|user|>"])
print(tokenizer.vocabulary, tokenizer.merges)
"""


def test_threads_and_hash_seeds_change_nothing(shakespeare):
    printed = set()
    for number in ("1", "3"):
        threads = {"RAYON_NUM_THREADS": number, "TOKENIZERS_PARALLELISM": "true"}
        child = subprocess.run(
            [sys.executable, "-c", LEARN],
            input=shakespeare,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**threads, "PYTHONHASHSEED": number},
        )
        printed.add(child.stdout)
    assert len(printed) == 1
    assert "<|user|>" in printed.pop()


def test_texts_are_read_as_a_stream():
    alive, most = 0, 0

    class Text(str):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def stream():
        nonlocal alive, most
        for number in range(5000):
            alive, most = alive + 1, max(most, alive + 1)
            yield Text(f"low lower number {number}")

    assert Tokenizer.learn(stream(), 270).vocabulary_size == 270
    assert most < 2000


def test_a_rarer_pair_is_not_merged():
    text = "ab " * 5 + "cd " * 4
    learned = {
        least: {left + right for left, right in Tokenizer.learn([text], 300, minimum_frequency=least).merges}
        for least in (1, 4, 5, 6)
    }
    assert {least: "ab" in pieces for least, pieces in learned.items()} == {
        1: True,
        4: True,
        5: True,
        6: False,
    }
    assert {least: "cd" in pieces for least, pieces in learned.items()} == {
        1: True,
        4: True,
        5: False,
        6: False,
    }


def test_is_deterministic():
    assert (
        Tokenizer.learn([TEXT, "other words"], 280).merges
        == Tokenizer.learn([TEXT, "other words"], 280).merges
    )


def test_merges_do_not_cross_texts():
    merges = Tokenizer.learn(["ab"] * 2 + ["c"] * 50, 300, minimum_frequency=2).merges
    assert merges == [("a", "b")]


def test_fewer_pieces_when_the_text_has_no_more_pairs():
    assert Tokenizer.learn(["ab ab"], 5000).vocabulary_size < 270


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(UsageError, match="need 257"):
        Tokenizer.learn([TEXT], 256)


def test_special_tokens_stand_between_the_merges_and_the_end_of_text():
    tokenizer = Tokenizer.learn([TEXT], 264, special_tokens=["<|user|>", "<|model|>"])
    assert tokenizer.special_tokens == {"<|user|>": 261, "<|model|>": 262, "<|endoftext|>": 263}
    assert tokenizer.merges == Tokenizer.learn([TEXT], 262).merges


@pytest.mark.parametrize("names", [[""], ["a"], ["<|endoftext|>"], ["<|a|>", "<|a|>"], ["low"]])
def test_a_special_token_that_is_none_is_refused(names):
    with pytest.raises(UsageError, match="give another name"):
        Tokenizer.learn([TEXT.replace(" ", "\n")], 270, special_tokens=names)


def test_special_tokens_need_room_too():
    with pytest.raises(UsageError, match="1 special tokens need 258"):
        Tokenizer.learn([TEXT], 257, special_tokens=["<|user|>"])


def test_half_a_surrogate_pair_is_read_as_it_is_encoded():
    learned = Tokenizer.learn(["\ud83d abc", "\ud83d\ude42"] * 3, 300)
    assert learned.merges == Tokenizer.learn(["\ufffd abc", "\U0001f642"] * 3, 300).merges
    assert learned.decode(learned.encode("\ud83d abc")) == "\ufffd abc"


def test_one_text_is_no_list_of_texts():
    with pytest.raises(UsageError, match="a list of texts"):
        learn_merges("low lower", 260, 1)
    with pytest.raises(UsageError, match="a member of texts is b'low': it must be a text"):
        learn_merges([b"low"], 260, 1)


def test_sizes_beyond_reason():
    with pytest.raises(UsageError, match="a vocabulary of 1000000000 is too large: 16777216 is the most"):
        learn_merges(["low"], 10**9, 1)
    assert learn_merges(["low low"], 300, 10**30) == []
    with pytest.raises(UsageError, match="minimum_frequency is -1: it must be 0 or more, an integer"):
        learn_merges(["low"], 300, -1)
    with pytest.raises(UsageError, match="vocabulary_size is 300.0: it must be an integer"):
        learn_merges(["low"], 300.0, 1)
