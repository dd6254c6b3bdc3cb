"""ids -> text piece by piece, never splitting a character."""

from __future__ import annotations

import codecs

from kerasgpt.tokenizer.bpe import Tokenizer


class StreamingDecoder:
    """Decode one id at a time; what is pushed out, joined, equals ``tokenizer.decode`` of all ids.

    An id beyond the vocabulary, of a model whose table is padded, stands for nothing.

    A token may end inside a UTF-8 character; its bytes wait for the next one. Bytes that can no longer
    become a character come out as U+FFFD at once, as in a decode of the whole.

    >>> tokenizer = Tokenizer.from_preset("gpt2")
    >>> decoder = StreamingDecoder(tokenizer)
    >>> [decoder.push(index) for index in tokenizer.encode("né🙂")]
    ['n', 'é', '', '🙂']
    >>> decoder.flush()
    ''
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip_special_tokens = skip_special_tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, index: int) -> str:
        """Take one id, give the characters that are now complete."""
        skip = self._skip_special_tokens
        piece = self._tokenizer.decode_bytes([index], skip_special_tokens=skip, errors="ignore")
        return self._decoder.decode(piece)

    def flush(self) -> str:
        """End the text: an unfinished character comes out as U+FFFD."""
        return self._decoder.decode(b"", final=True)
