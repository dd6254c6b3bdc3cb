"""Token embeddings that begin as word vectors: found by the pieces, brought to the model's width."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.word_vectors import read_word_vectors
from kerasgpt.errors import KerasGPTError
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT, piece_bytes

END_OF_SENTENCE = "</s>"  # as word2vec and fastText call it

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Coverage:
    """What of a vocabulary was found in a file of word vectors.

    Attributes:
        path: of the file.
        num_found: pieces with a vector.
        num_pieces: V.
        file_width: of the file's vectors.
        model_width: D.
    """

    path: str
    num_found: int
    num_pieces: int
    file_width: int
    model_width: int

    @property
    def sentence(self) -> str:
        """In one line."""
        how = (
            ""
            if self.file_width == self.model_width
            else f", projected from width {self.file_width} to {self.model_width}"
        )
        share = self.num_found / self.num_pieces
        return f"{self.path}: vectors of {self.num_found} of {self.num_pieces} pieces ({share:.0%}){how}"


def start_from_word_vectors(
    model: GPT2CausalLM, tokenizer: Tokenizer, path: str | os.PathLike[str], seed: int = 0
) -> Coverage:
    """Put word vectors in the place of a model's fresh token embeddings, where the vocabulary has the word.

    A piece's word is its text without the space it begins with, else that in small letters: `` The`` and
    ``The`` are ``The``, or ``the`` where the file lacks that. The vectors are centred, and scaled to the size
    that fresh ones have, so that the model begins as evenly as from nothing. All other pieces stay.

    Args:
        model: built; its head is tied or has weights of its own, which stay.
        tokenizer: whose pieces to look for.
        path: see `kerasgpt.data.word_vectors.read_word_vectors`.
        seed: of the projection, where the widths differ.

    Raises:
        KerasGPTError: the file cannot be read, or holds none of the pieces.
    """
    words = [words_of(piece, tokenizer.end_of_text) for piece in tokenizer.vocabulary]
    found = read_word_vectors(path, {word for candidates in words for word in candidates})
    rows, vectors = [], []
    for row, candidates in zip(tokenizer.vocabulary.values(), words, strict=True):
        if word := next((word for word in candidates if word in found.vectors), None):
            rows.append(row)
            vectors.append(found.vectors[word])
    if not rows:
        raise KerasGPTError(
            f"{path}: none of its {found.num_words} words is a piece of the vocabulary: give vectors of the"
            " text's language, or raise data.vocabulary_size"
        )
    variable = model.backbone.embedding.token_embedding.embeddings
    table = np.array(variable.numpy(), np.float32)  # (V, D)
    width = table.shape[1]
    table[rows] = scaled(projected(np.stack(vectors), width, seed), model.config.initializer_range)
    variable.assign(table)
    return Coverage(os.fspath(path), len(rows), len(words), found.width, width)


def words_of(piece: str, end_of_text: str = END_OF_TEXT) -> Sequence[str]:
    """The words a piece may stand for, the likeliest first; none for bytes that are no character.

    >>> words_of("ĠThe"), words_of("s"), words_of("<|endoftext|>")
    (('The', 'the'), ('s',), ('</s>',))
    """
    if piece == end_of_text:
        return (END_OF_SENTENCE,)
    try:
        word = piece_bytes(piece).decode("utf-8").removeprefix(" ")
    except UnicodeDecodeError:
        return ()
    return tuple(dict.fromkeys([word, word.lower()])) if word.strip() else ()


def projected(vectors: Array, width: int, seed: int = 0) -> Array:
    """Bring vectors (R, W) to another width, centred unless they are all the same.

    Wider: by a random rotation, which leaves all distances as they are. Narrower: by their principal
    components, which of all such projections keeps most of them.

    Args:
        vectors: float32 (R, W).
        width: D.
        seed: of the rotation.

    Returns:
        float32 (R, D).
    """
    wide = vectors.astype(np.float64)  # of 1e20 the squares are no float32
    centred = wide - wide.mean(axis=0)
    if not centred.any():  # they are all the same word's
        centred = wide
    given = vectors.shape[1]
    if given < width:
        random = np.random.default_rng(seed).normal(size=(width, given))
        return (centred @ np.linalg.qr(random)[0].T).astype(np.float32)
    if given > width:
        _, axes = np.linalg.eigh(centred.T @ centred)  # the last are the principal ones
        return (centred @ axes[:, -width:]).astype(np.float32)
    return centred.astype(np.float32)


def scaled(vectors: Array, size: float) -> Array:
    """Multiply vectors (R, D) by one factor, so that their root mean square is `size`."""
    now = float(np.sqrt(np.square(vectors, dtype=np.float64).mean()))
    return (vectors * (size / max(now, 1e-12))).astype(np.float32)
