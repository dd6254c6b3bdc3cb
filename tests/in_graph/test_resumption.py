"""Texts written a few tokens a call, against the same texts written at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.in_graph import groups

STATE = ("keys", "values", "token_ids", "num_prompt_tokens", "num_tokens")
PROMPTS = ["hello", "", "the end of you'll", "naïve 🙂", "y" * 60, "c", "d"]
SETTINGS: dict[str, Any] = {
    "max_new_tokens": tf.constant([10, 9, 3, 12, 5, 0, 30], tf.int64),
    "temperature": tf.constant([0.0, 1.0, 0.0, 1.2, 1.0, 1.0, 1.0]),
    "seed": tf.constant([0, 5, 0, 7, 9, 1, 2], tf.int64),
    "repetition_penalty": tf.constant([1.0, 1.3, 1.0, 1.0, 1.0, 1.0, 1.5]),
}


def streamed(functions: dict[str, Any], prompts: Any, settings: dict[str, Any], num_steps: Any) -> Any:
    """The pieces of each row, its ids, and the last answer."""
    answer = functions["prefill"](prompts, settings["max_new_tokens"])
    pieces: list[list[str]] = []
    ids: list[list[int]] = [[] for _ in range(prompts.shape[0])]
    for _ in range(60):
        state = {name: answer[name] for name in STATE}
        answer = functions["decode"](**state, **settings, num_steps=num_steps)
        pieces.append([text.decode() for text in answer["text"].numpy()])
        old, new = state["num_tokens"].numpy(), answer["num_tokens"].numpy()
        for row, start in enumerate(answer["num_prompt_tokens"].numpy()):
            ids[row] += answer["token_ids"].numpy()[row, start + old[row] : start + new[row]].tolist()
        assert answer["num_new_tokens"].numpy().tolist() == (new - old).tolist()
        if all(reason != b"" for reason in answer["finish_reason"].numpy()):
            return pieces, ids, answer
    raise AssertionError("it does not end")


@pytest.mark.parametrize("num_steps", [[1], [4], [100], [1, 2, 3, 4, 5, 6, 7]], ids=str)
@pytest.mark.parametrize("stop", ["", "e", "ou"])
def test_the_pieces_joined_are_the_text(functions: dict[str, Any], num_steps: list[int], stop: str) -> None:
    settings = {**SETTINGS, "stop": tf.constant([stop])}
    prompts = tf.constant([prompt.encode() for prompt in PROMPTS])
    expected = functions["generate"](prompts, **settings)
    pieces, ids, last = streamed(functions, prompts, settings, tf.constant(num_steps, tf.int64))
    for row, count in enumerate(expected["num_tokens"].numpy()):
        assert ids[row] == expected["token_ids"].numpy()[row, :count].tolist()
        text = "".join(piece[row] for piece in pieces)
        assert text == expected["text"].numpy()[row].decode()
        assert last["finish_reason"].numpy()[row] == expected["finish_reason"].numpy()[row]
    if num_steps == [1] and not stop:
        assert sum(bool(piece[0]) for piece in pieces) > 2  # in several pieces, not in one at the end


@pytest.mark.parametrize("num_steps", [3, 8, 100])
@pytest.mark.parametrize("prompt", ["the the the", "zzzz", "hello", ""])
def test_a_text_alone_is_drafted_and_the_same(functions: dict[str, Any], prompt: str, num_steps: int) -> None:
    settings = {"max_new_tokens": tf.constant([30], tf.int64)}
    prompts = tf.constant([prompt])
    expected = functions["generate"](prompts, **settings)
    pieces, ids, last = streamed(functions, prompts, settings, tf.constant([num_steps], tf.int64))
    assert ids[0] == expected["token_ids"].numpy()[0, : len(ids[0])].tolist()
    assert len(ids[0]) == expected["num_tokens"].numpy()[0]
    assert "".join(piece[0] for piece in pieces) == expected["text"].numpy()[0].decode()
    assert last["finish_reason"].numpy()[0] == expected["finish_reason"].numpy()[0]


def test_a_row_that_has_ended_gives_nothing_more(functions: dict[str, Any]) -> None:
    prompts = tf.constant(["hello"])
    settings = {"max_new_tokens": tf.constant([3], tf.int64)}
    _, _, answer = streamed(functions, prompts, settings, tf.constant([8], tf.int64))
    again = functions["decode"](**{name: answer[name] for name in STATE}, **settings)
    assert again["text"].numpy()[0] == b""
    assert again["num_new_tokens"].numpy()[0] == 0
    assert again["finish_reason"].numpy()[0] == answer["finish_reason"].numpy()[0]


def test_of_no_prompts_nothing_is_written(functions: dict[str, Any]) -> None:
    answer = functions["prefill"](tf.constant([], tf.string))
    answer = functions["decode"](**{name: answer[name] for name in STATE})
    assert answer["text"].shape == answer["finish_reason"].shape == (0,)


def test_what_a_client_keeps_is_not_written_to(functions: dict[str, Any]) -> None:
    answer = functions["prefill"](tf.constant(["hello there"]), tf.constant([8], tf.int64))
    kept = {name: answer[name].numpy().copy() for name in STATE}
    first = functions["decode"](**{name: answer[name] for name in STATE})
    for name, array in kept.items():
        np.testing.assert_array_equal(answer[name], array)
    second = functions["decode"](**{name: answer[name] for name in STATE})
    np.testing.assert_array_equal(first["token_ids"], second["token_ids"])


@pytest.mark.parametrize("value", [3.5, 1e30, np.nan, np.inf])
def test_padding_of_the_state_changes_nothing(functions: dict[str, Any], value: float) -> None:
    """As a server does that joins requests of unlike sizes: it repeats a tensor's first element."""
    answer = functions["prefill"](tf.constant(["hello"]), tf.constant([8], tf.int64))
    state = {name: answer[name] for name in STATE}
    padded = dict(state)
    for name in ("keys", "values"):
        padded[name] = tf.pad(state[name], [[0, 0]] * 3 + [[0, 4], [0, 0]], constant_values=value)
    padded["token_ids"] = tf.pad(state["token_ids"], [[0, 0], [0, 6]], constant_values=7)
    expected, found = functions["decode"](**state), functions["decode"](**padded)
    assert found["text"].numpy() == expected["text"].numpy()
    np.testing.assert_array_equal(found["token_ids"], expected["token_ids"])


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("num_prompt_tokens", [0], "do not fit"),
        ("num_prompt_tokens", [9], "do not fit"),
        ("num_tokens", [-1], "do not fit"),
        ("num_tokens", [10**9], "do not fit"),
        ("num_tokens", [2**63 - 1], "do not fit"),
        ("num_prompt_tokens", [2**63 - 1], "do not fit"),
        ("num_steps", [-1], "0 or more"),
        ("temperature", [float("nan")], "temperature is nan"),
        ("token_ids", [[10**6] * 3], "outside 0 to"),
    ],
)
def test_a_state_that_makes_no_sense_is_an_error_of_its_row(
    functions: dict[str, Any], name: str, value: Any, why: str
) -> None:
    answer = functions["prefill"](tf.constant(["hello"]), tf.constant([8], tf.int64))
    state = {part: answer[part] for part in STATE}
    good = {**state, "num_steps": tf.constant([4], tf.int64), "temperature": tf.constant([0.0])}
    both = {part: tf.concat([tensor, tensor], 0) for part, tensor in good.items()}
    bad = tf.constant(value, good[name].dtype)
    both[name] = tf.concat([bad, good[name]], 0)
    found = functions["decode"](**both)
    assert why in found["error"].numpy()[0].decode()
    assert (found["text"].numpy()[0], found["finish_reason"].numpy()[0]) == (b"", b"error")
    assert found["num_new_tokens"].numpy().tolist()[0] == 0
    alone = functions["decode"](**good)
    assert found["text"].numpy()[1] == alone["text"].numpy()[0]
    assert found["error"].numpy()[1] == b""


def test_the_largest_numbers_overflow_nothing(functions: dict[str, Any]) -> None:
    state = functions["prefill"](tf.constant(["hello"]), tf.constant([8], tf.int64))
    given = {name: state[name] for name in STATE}
    for count in (2**63 - 1, 100):
        found = functions["decode"](**given, num_steps=tf.constant([3], tf.int64))
        rest = functions["decode"](
            **{name: found[name] for name in STATE}, num_steps=tf.constant([count], tf.int64)
        )
        assert rest["error"].numpy()[0] == b""
        assert rest["finish_reason"].numpy()[0] != b""
    both = {**given, "num_tokens": tf.constant([5], tf.int64)}
    both["num_prompt_tokens"] = tf.constant([2**63 - 1], tf.int64)
    assert b"do not fit" in functions["decode"](**both)["error"].numpy()[0]


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("values", lambda part: part[:, :, :, :-1], "keys and values must have the same shape"),
        ("values", lambda part: tf.concat([part, part], 0), "keys and values must have the same shape"),
        ("num_tokens", lambda part: tf.concat([part, part], 0), "must have one row for each text"),
        ("num_prompt_tokens", lambda part: part[:0], "must have one row for each text"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    functions: dict[str, Any], name: str, change: Any, why: str
) -> None:
    answer = functions["prefill"](tf.constant(["hello"]), tf.constant([8], tf.int64))
    state = {part: answer[part] for part in STATE}
    with pytest.raises(tf.errors.InvalidArgumentError, match=why):
        functions["decode"](**{**state, name: change(state[name])})


def test_prompts_are_read_in_groups(functions: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, room = tf.constant(["hello", "", "the end"]), tf.constant([8], tf.int64)
    whole = functions["prefill"](prompts, room)
    monkeypatch.setattr(groups, "LARGEST_GROUP", 2)
    parts = functions["prefill"].python_function(prompts, room)
    for name in STATE:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-5, err_msg=name)
