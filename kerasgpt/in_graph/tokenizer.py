"""The tokenizer inside the graph: GPT-2's byte-level BPE in core TensorFlow ops only."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf
import tokenizers
from numpy.typing import NDArray
from tokenizers import models

from kerasgpt.in_graph.characters import END, END_CHARACTER, OTHER, SPACE, kind_pages
from kerasgpt.in_graph.streaming import split_unfinished
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.vocabulary import piece_bytes

_NO_MERGE = np.iinfo(np.int64).max
_MALFORMED = 0xFFFD


class InGraphTokenizer(tf.Module):
    r"""text <-> ids as graph ops; the same ids as `tokenizers` gives, on every text and vocabulary.

    A text is cut into words by GPT-2's pattern (Radford et al. 2019), ``<|endoftext|>`` in it being
    ordinary text::

        's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

    Each distinct word of the batch is looked up whole; only those that are no piece of the vocabulary
    have their bytes merged. There is no regular expression and no op from outside core TensorFlow, so
    that plain ``tf.saved_model.load``, and a server without Python, can run it.

    Args:
        vocabulary: piece -> id, in the printable byte alphabet of vocab.json.
        merges: pairs of pieces, the first to be merged first.
        special_ids: ids that stand for no text and that `decode` leaves out.

    >>> from kerasgpt.tokenizer.bpe import Tokenizer
    >>> tokenizer = InGraphTokenizer.from_tokenizer(Tokenizer.from_preset("gpt2"))
    >>> tokenizer.encode(["Hello world", ""]).to_list()
    [[15496, 995], []]
    >>> tokenizer.decode([[15496, 995], [50256, 0]], [2, 1]).numpy().tolist()
    [b'Hello world', b'']
    """

    def __init__(
        self, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], special_ids: Collection[int]
    ) -> None:
        super().__init__(name="tokenizer")
        self._num_ids = max([*special_ids, *vocabulary.values()]) + 1
        pieces = _piece_bytes(vocabulary, self._num_ids, special_ids)
        byte_ids = {piece: index for index, piece in enumerate(pieces) if len(piece) == 1}
        whole = _pieces_that_merge_into_themselves(vocabulary, merges, special_ids)
        page_starts, kinds = kind_pages()

        self._pieces = tf.constant(pieces)  # (V + 1,), the last one empty
        self._byte_ids = tf.constant([byte_ids.get(bytes([byte]), -1) for byte in range(256)], tf.int64)
        self._words = _table(tf.constant([pieces[index] for index in whole], tf.string), whole, -1)
        self._merges = _table(*_packed_merges(vocabulary, merges, self._num_ids), _NO_MERGE)
        self._merges_repeat = _later_merges_rank_later(merges)
        self._page_starts = tf.constant(page_starts)
        self._kinds = tf.constant(kinds)
        # One function of the graph, which holds it once however many signatures encode.
        self._encoder = tf.function(self._encode, [tf.TensorSpec([None], tf.string)], autograph=False)

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer) -> Self:
        """Put a tokenizer's vocabulary into graph form."""
        return cls(tokenizer.vocabulary, tokenizer.merges, tokenizer.special_tokens.values())

    @classmethod
    def from_preset(cls, source: str | os.PathLike[str]) -> Self:
        """Load a preset's name or a folder, as `Tokenizer.from_preset` does."""
        return cls.from_tokenizer(Tokenizer.from_preset(source))

    def encode(self, texts: Any) -> Any:
        """Turn texts into ids.

        Args:
            texts: string (B,), UTF-8; malformed bytes are read as U+FFFD.

        Returns:
            Ragged int64 (B, None); an empty text has no ids.
        """
        ids, row_splits = self._encoder(tf.convert_to_tensor(texts, tf.string))
        return tf.RaggedTensor.from_row_splits(ids, row_splits, validate=False)

    def decode(self, token_ids: Any, lengths: Any) -> Any:
        """Turn ids into texts, leaving out special tokens and ids beyond the vocabulary.

        Args:
            token_ids: int64 (B, T).
            lengths: int64 (B,), ids of each row that count.

        Returns:
            string (B,), valid UTF-8: each malformed sequence becomes U+FFFD, as in Python.
        """
        token_ids = tf.cast(token_ids, tf.int64)
        counts = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
        pieces = self.pieces_of(tf.where(counts, token_ids, self._num_ids))
        return _valid_text(tf.strings.reduce_join(pieces, axis=1))

    def decode_next(self, token_ids: Any, waiting: Any) -> tuple[Any, Any]:
        """Turn the next id of each row into the characters it completes; all, joined, are `decode`'s text.

        Args:
            token_ids: int64 (B,).
            waiting: string (B,), bytes that the call before left over; at first empty strings.

        Returns:
            Texts, valid UTF-8, and the bytes to be given to the next call: both string (B,). After the last
            one, `decode_rest` of them ends the text.
        """
        pieces = self.pieces_of(tf.cast(token_ids, tf.int64))
        complete, waiting = split_unfinished(tf.strings.join([waiting, pieces]))
        return _valid_text(complete), waiting

    def decode_rest(self, waiting: Any) -> Any:
        """End texts: bytes left over, string (B,), become U+FFFD."""
        return _valid_text(waiting)

    def pieces_of(self, token_ids: Any) -> Any:
        """The bytes of each id, string; none for special tokens and ids beyond the vocabulary."""
        known = (token_ids >= 0) & (token_ids < self._num_ids)
        return tf.gather(self._pieces, tf.where(known, token_ids, self._num_ids))

    def _encode(self, texts: Any) -> tuple[Any, Any]:
        """The ids of all texts one after another, int64 (n,), and where each begins and the last ends."""
        words, words_per_text = self._split(texts)
        distinct, place = tf.unique(words)
        ids = tf.gather(self._encode_words(distinct), place)  # ragged (words, None)
        rows = tf.RaggedTensor.from_row_lengths(ids, words_per_text, validate=False).merge_dims(1, 2)
        return rows.flat_values, rows.row_splits

    def _split(self, texts: Any) -> tuple[Any, Any]:
        """Cut string (B,) into words: string (words,), and how many each text has, int64 (B,)."""
        characters = tf.strings.unicode_decode(texts, "UTF-8", "replace", _MALFORMED)  # ragged (B, None)
        # A mark after each text lets every rule look left and right without asking where texts end.
        ends = tf.fill([tf.shape(texts)[0], 1], END_CHARACTER)
        marked = tf.concat([characters, ends], axis=1).flat_values
        kinds = tf.gather(self._kinds, tf.gather(self._page_starts, marked // 256) + marked % 256)
        starts = tf.boolean_mask(_word_starts(marked, kinds), kinds != END)
        first_characters = tf.where(starts)[:, 0]
        words = tf.RaggedTensor.from_row_starts(characters.flat_values, first_characters, validate=False)
        counts = tf.reduce_sum(characters.with_flat_values(tf.cast(starts, tf.int64)), axis=1)
        return tf.strings.unicode_encode(words, "UTF-8"), counts

    def _encode_words(self, words: Any) -> Any:
        """Encode string (W,) -> ragged int64 (W, None)."""
        whole = self._words.lookup(words)
        known = whole >= 0
        whole = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(whole, known), tf.cast(known, tf.int64), validate=False
        )
        return tf.concat([whole, self._merge_bytes(tf.where(known, "", words))], axis=1)

    def _merge_bytes(self, words: Any) -> Any:
        """Encode string (W,) from bytes up, all words at once -> ragged int64 (W, None)."""
        num_words = tf.shape(words, out_type=tf.int64)[0]
        values = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        ids = tf.gather(self._byte_ids, tf.cast(values, tf.int32))
        owners = tf.repeat(tf.range(num_words), tf.strings.length(words))
        # A byte that the vocabulary lacks vanishes, as it does in `tokenizers`.
        ids, owners = tf.boolean_mask(ids, ids >= 0), tf.boolean_mask(owners, ids >= 0)
        ids, owners, _ = tf.while_loop(
            lambda ids, owners, pairs: tf.reduce_any(pairs != _NO_MERGE),
            lambda ids, owners, pairs: self._merge_once(ids, owners, pairs, num_words),
            (ids, owners, self._rank_pairs(ids, owners)),
            shape_invariants=(tf.TensorShape([None]),) * 3,
        )
        return tf.RaggedTensor.from_value_rowids(ids, owners, num_words, validate=False)

    def _rank_pairs(self, ids: Any, owners: Any) -> Any:
        """Look up what each two neighbours merge into: int64 (n - 1,), see `_packed_merges`."""
        merges = self._merges.lookup(ids[:-1] * self._num_ids + ids[1:])
        return tf.where(owners[:-1] == owners[1:], merges, _NO_MERGE)

    def _merge_once(self, ids: Any, owners: Any, pairs: Any, num_words: Any) -> tuple[Any, Any, Any]:
        """Carry out the best-ranked merge of each word; ids and owners (n,), pairs (n - 1,)."""
        best = tf.math.unsorted_segment_min(pairs, owners[:-1], num_words)  # (W,)
        chosen = (pairs == tf.gather(best, owners[:-1])) & (pairs != _NO_MERGE)
        chosen = _alternate(chosen) if self._merges_repeat else _first(chosen, owners[:-1], num_words)
        merged = tf.where(tf.concat([chosen, [False]], 0), tf.concat([pairs, [0]], 0) % self._num_ids, ids)
        remains = tf.concat([[True], ~chosen], 0)
        ids, owners = tf.boolean_mask(merged, remains), tf.boolean_mask(owners, remains)
        return ids, owners, self._rank_pairs(ids, owners)


def _valid_text(data: Any) -> Any:
    return tf.strings.unicode_transcode(data, "UTF-8", "UTF-8", errors="replace")


def _word_starts(characters: Any, kinds: Any) -> Any:
    """Mark where GPT-2's pattern begins a new match: code points and kinds int32 (n,) -> bool (n,)."""
    before, after = tf.roll(kinds, 1, 0), tf.roll(kinds, -1, 0)
    after_blank = tf.roll(characters, 1, 0) == ord(" ")
    is_space, changes = kinds == SPACE, kinds != before
    # One blank belongs to the word after it; of a longer run, only the last character is set apart.
    space_starts = changes | ((after != SPACE) & (after != END))
    starts = tf.where(is_space, space_starts, changes & ~after_blank)

    # 's 't 'm 'd 're 've 'll: not where the apostrophe belongs to a match that began before it.
    free = (characters == ord("'")) & (before != OTHER) & ~after_blank
    second, third = tf.roll(characters, -1, 0), tf.roll(characters, -2, 0)
    short = free & _is_one_of(second, "stmd")
    long = free & (
        (_is_one_of(second, "rv") & (third == ord("e"))) | ((second == ord("l")) & (third == second))
    )
    starts &= ~tf.roll(short | long, 1, 0)
    return starts | tf.roll(short, 2, 0) | tf.roll(long, 3, 0)


def _is_one_of(characters: Any, wanted: str) -> Any:
    return tf.reduce_any(characters[:, None] == [ord(character) for character in wanted], axis=1)


def _alternate(chosen: Any) -> Any:
    """Of each run of overlapping pairs keep the 1st, 3rd, 5th...: bool (n,) -> bool (n,)."""
    heads = chosen & ~tf.concat([[False], chosen[:-1]], 0)[: tf.size(chosen)]
    head_places = tf.concat([[0], tf.where(heads)[:, 0]], 0)
    distance = tf.range(tf.size(chosen, tf.int64)) - tf.gather(
        head_places, tf.cumsum(tf.cast(heads, tf.int64))
    )
    return chosen & (distance % 2 == 0)


def _first(chosen: Any, owners: Any, num_words: Any) -> Any:
    """Keep the leftmost pair of each word: bool (n,) -> bool (n,)."""
    places = tf.range(tf.size(chosen, tf.int64))
    first = tf.math.unsorted_segment_min(tf.where(chosen, places, _NO_MERGE), owners, num_words)
    return chosen & (places == tf.gather(first, owners))


def _table(keys: Any, values: Any, default: int) -> Any:
    """Build a static table with int64 values."""
    values = tf.constant(values, tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), default)


def _piece_bytes(vocabulary: Mapping[str, int], num_ids: int, special_ids: Collection[int]) -> list[bytes]:
    """List the bytes of each id, and one empty entry more for whatever is not to be seen."""
    pieces = [b""] * (num_ids + 1)
    for piece, index in vocabulary.items():
        if index not in special_ids:
            pieces[index] = piece_bytes(piece)
    return pieces


def _pieces_that_merge_into_themselves(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], special_ids: Collection[int]
) -> list[int]:
    """Find the ids that their own bytes are encoded as; the merges of a piece may lead elsewhere."""
    backend = tokenizers.Tokenizer(models.BPE(dict(vocabulary), list(merges)))
    encodings = backend.encode_batch_fast(list(vocabulary), add_special_tokens=False)
    pairs = zip(encodings, vocabulary.values(), strict=True)
    return [index for encoding, index in pairs if encoding.ids == [index] and index not in special_ids]


def _packed_merges(
    vocabulary: Mapping[str, int], merges: Iterable[tuple[str, str]], num_ids: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pack each merge into two integers, left * V + right and rank * V + result; less is earlier."""
    packed = {-1: int(_NO_MERGE)}  # TensorFlow refuses an empty table, and no pair has this key
    packed |= {
        vocabulary[left] * num_ids + vocabulary[right]: rank * num_ids + vocabulary[left + right]
        for rank, (left, right) in enumerate(merges)
    }
    return np.array(list(packed), np.int64), np.array(list(packed.values()), np.int64)


def _later_merges_rank_later(merges: Sequence[tuple[str, str]]) -> bool:
    """Whether every merge ranks after all that make its parts, as in most learned vocabularies.

    Then a merge never brings up a better one, and all its occurrences in a word can go at once.
    """
    last_made = {left + right: rank for rank, (left, right) in enumerate(merges)}
    return all(last_made.get(part, -1) < rank for rank, pair in enumerate(merges) for part in pair)
