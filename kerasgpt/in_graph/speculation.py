"""Drafts, in the graph: where one text is left, a step reads several tokens and keeps the right ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.generation.speculation import LONGEST_NGRAM, LONGEST_PAUSE, SHORTEST_NGRAM
from kerasgpt.in_graph.cache import GraphCache
from kerasgpt.in_graph.decode import GraphModel, Newest, Write, choose, mark
from kerasgpt.in_graph.generation import step_by_step
from kerasgpt.in_graph.sampling import Knobs
from kerasgpt.in_graph.transformer import GraphTransformer

LENGTHS = (2, 5, 15)
"""Of drafts, shorter after failure and longer after success. TensorFlow's products take 1, 1.1, 1.4 and 2.3
times as long with 1, 3, 6 and 16 rows; numbers in between are no better."""

FIRST_CREDIT, LARGEST_CREDIT = 8, 16
WORTH = 8
"""Of a token guessed right, in guesses: a step of three rows takes a tenth longer than one of one."""
PROBES = 32
"""A guess is made where the position is a multiple of this, whatever came of those before."""


class Pace(NamedTuple):
    """How long the next draft is to be, and whether to guess where the text has none.

    Attributes:
        level: int32 (), which of `LENGTHS`.
        pause: int32 (), steps to wait after the last failure.
        wait: int32 (), what is left of them.
        credit: int32 (), how many more guesses may fail.
    """

    level: Any
    pause: Any
    wait: Any
    credit: Any

    @classmethod
    def start(cls) -> Pace:
        """That of a new text."""
        return cls(*map(tf.constant, (0, 0, 0, FIRST_CREDIT)))

    def may_guess(self, position: Any) -> Any:
        """Whether a guess is worth its cost after the token at a position, int32 (): bool ()."""
        return (self.credit > 0) | (position % PROBES == 0)

    def after_guess(self, num_accepted: Any) -> Pace:
        """What is learnt from a guess, int32 ()."""
        credit = tf.minimum(tf.maximum(self.credit - 1, 0) + WORTH * num_accepted, LARGEST_CREDIT)
        return self.after_none()._replace(credit=credit)

    def after_draft(self, num_drafted: Any, num_accepted: Any) -> Pace:
        """What is learnt from a draft of the text's own, int32 () each."""
        step = tf.where(2 * num_accepted < num_drafted, -1, 0)
        level = self.level + tf.where(num_accepted == num_drafted, 1, step)
        pause = tf.where(num_accepted > 0, 0, tf.minimum(2 * self.pause + 1, LONGEST_PAUSE))
        return Pace(tf.clip_by_value(level, 0, len(LENGTHS) - 1), pause, pause, self.credit)

    def after_none(self) -> Pace:
        """That after a step without a draft."""
        return self._replace(wait=tf.maximum(self.wait - 1, 0))


class Drafting(NamedTuple):
    """What the model has read, and what drafts are made of.

    Attributes:
        cache: of all tokens but each row's newest.
        ids: int64 (R, C), of all tokens read, in the cache's columns.
        pace: of the drafts.
    """

    cache: GraphCache
    ids: Any
    pace: Pace


def with_drafts(transformer: GraphTransformer) -> GraphModel:
    """The model of `step_by_step`, which writes by `drafted_steps`."""
    plain = step_by_step(transformer)
    assert plain.take is not None
    take_cache = plain.take

    def prefill(token_ids: Any, lengths: Any, num_new: Any) -> tuple[Drafting, Any]:
        cache, logits = plain.prefill(token_ids, lengths, num_new)
        return drafting(cache, token_ids), logits

    def take(state: Drafting, rows: Any) -> Drafting:
        return Drafting(take_cache(state.cache, rows), tf.gather(state.ids, rows), state.pace)

    return GraphModel(prefill, drafted_steps(transformer), take)


def drafting(cache: GraphCache, ids: Any) -> Drafting:
    """A beginning: a cache, and the ids int64 (R, T) of all that it holds, in its columns."""
    room = tf.maximum(cache.columns - tf.shape(ids)[1], 0)
    return Drafting(cache, tf.pad(ids[:, : cache.columns], [[0, 0], [0, room]]), Pace.start())


def drafted_steps(transformer: GraphTransformer) -> Write:
    """One token more of each row, or several of one, by the transformer; the state is a `Drafting`.

    Where one row is left and it is greedy, a draft is read in the same step as the newest token: what
    followed where its last tokens stood in the text before (as in `kerasgpt.generation.speculation`), or else
    what the model says after the newest token alone. As much of it is taken as the model itself chooses, so
    that the text is the same, up to the rounding of float32 (Leviathan et al. 2023, arXiv:2211.17192).
    """

    def write(state: Drafting, newest: Newest, knobs: Knobs) -> tuple[Any, Any, Any, Any]:
        history = _put(state.ids, newest.positions[:, None], newest.ids[:, None])
        may_draft = tf.size(newest.ids) == 1
        may_draft &= tf.reduce_all((knobs.temperature == 0) & (knobs.repetition_penalty == 1))
        draft, is_guess = tf.cond(
            may_draft,
            lambda: _draft(history[0], newest.positions[0], state.pace, transformer.followers),
            lambda: (tf.zeros([0], tf.int64), tf.constant(False)),
        )
        num_drafted, num_rows = tf.size(draft), tf.size(newest.ids)
        ids = tf.concat([newest.ids[:, None], tf.tile(draft[None], tf.stack([num_rows, 1]))], 1)  # (R, K)
        positions = newest.positions[:, None] + tf.range(num_drafted + 1)
        stream, cache = transformer.read_next(ids, positions, state.cache)
        logits = transformer.head(transformer.final_norm(stream))  # (R K, V)
        # Either K is 1, or R is and what is greedy in a row is so at each of its tokens.
        chosen, logprobs = choose(logits, knobs, newest.seen, newest.steps)

        def checked() -> tuple[Any, ...]:
            is_right = tf.cast(chosen[:-1] == draft, tf.int32)
            num_accepted = tf.reduce_sum(tf.math.cumprod(is_right))
            paces = state.pace.after_guess(num_accepted), state.pace.after_draft(num_drafted, num_accepted)
            pace = Pace(*(tf.where(is_guess, *numbers) for numbers in zip(*paces, strict=True)))
            kept = (found[None, : num_accepted + 1] for found in (chosen, logprobs))
            return *kept, _put(history, positions, ids), pace

        def unchecked() -> tuple[Any, ...]:
            return chosen[:, None], logprobs[:, None], history, state.pace.after_none()

        chosen, logprobs, history, pace = tf.cond(num_drafted > 0, checked, unchecked)
        return Drafting(cache, history, pace), chosen, logprobs, mark(newest.seen, chosen)

    return write


def _draft(ids: Any, position: Any, pace: Pace, followers: Any) -> tuple[Any, Any]:
    """A draft of no more tokens than there is room for, int64 (K,) or (0,), and whether it is a guess."""
    # The last token of the text is never read, and a step writes one token more than its draft has.
    room = tf.maximum(tf.size(ids) - position - 3, 0)
    length = tf.minimum(tf.gather(tf.constant(LENGTHS), pace.level), room)
    nothing = tf.zeros([0], tf.int64)
    draft = tf.cond(pace.wait == 0, lambda: propose(ids[: position + 1], length), lambda: nothing)
    if followers is None:
        return draft, tf.constant(False)
    is_guess = (tf.size(draft) == 0) & pace.may_guess(position)
    return tf.cond(is_guess, lambda: guess(followers, ids[position])[:room], lambda: draft), is_guess


def guess(followers: Any, newest: Any) -> Any:
    """What the model says after a token alone, and after that one: int64 (2,), (1,) or (0,).

    Args:
        followers: a variable int32 (V,), below 0 where nothing is known.
        newest: int64 ().
    """
    # Its value and not the variable, of which a gather would make a copy at each later read.
    table = followers.value()
    first = tf.gather(table, newest)
    second = tf.gather(table, tf.maximum(first, 0))
    known = tf.where(first < 0, 0, tf.where(second < 0, 1, 2))
    return tf.cast(tf.stack([first, second])[:known], tf.int64)


def propose(ids: Any, length: Any) -> Any:
    """What may follow a text: `length` tokens, int32 (), or none.

    Of the places where its last tokens stood before the longest match counts, and among equally long ones the
    latest; a place near the end is copied round and round.

    Args:
        ids: int64 (N,), N at least 1.
        length: int32 ().

    Returns:
        int64 (length,), or (0,) where nothing was found.

    >>> propose(tf.constant([1, 2, 3, 4, 9, 1, 2], tf.int64), 7).numpy().tolist()
    [3, 4, 9, 1, 2, 3, 4]
    """
    last = tf.size(ids) - 1
    padded = tf.pad(ids, [[LONGEST_NGRAM - 1, 0]], constant_values=-1)
    matches = tf.zeros([last], tf.int32)
    goes_on = tf.ones([last], tf.bool)
    for back in range(LONGEST_NGRAM):
        first = LONGEST_NGRAM - 1 - back
        goes_on &= padded[first : first + last] == padded[first + last]
        matches += tf.cast(goes_on, tf.int32)
    values = tf.where(matches >= SHORTEST_NGRAM, matches * (last + 1) + tf.range(1, last + 1), 0)
    best = tf.reduce_max(tf.concat([[0], values], 0))
    place = best % (last + 1)  # after the match; 0 for none
    period = last + 1 - place
    number = tf.where(best > 0, length, 0)
    return tf.gather(ids, place + tf.range(number) % period)


def _put(rows: Any, positions: Any, ids: Any) -> Any:
    """Write ids int64 (R, K) into the columns `positions` int32 (R, K) of rows (R, C)."""
    number = tf.broadcast_to(tf.range(tf.shape(ids)[0])[:, None], tf.shape(ids))
    return tf.tensor_scatter_nd_update(rows, tf.stack([number, positions], -1), ids)
