"""The token that ends a text, as a tokenizer has it and as a model's configuration names it."""

from __future__ import annotations

from kerasgpt.architectures import AnyConfig
from kerasgpt.tokenizer.bpe import Tokenizer


def aligned(config: AnyConfig, tokenizer: Tokenizer) -> AnyConfig:
    """A configuration that names the tokenizer's end of text, for readers that stop where it says.

    Named by nobody it is the last id, which stands for nothing where a vocabulary is padded, or for ordinary
    text. If it names a special token already, or the model has no such id, it stays as it is.

    >>> from kerasgpt.config import GPT2Config
    >>> padded = aligned(GPT2Config(vocabulary_size=50304), Tokenizer.from_preset("gpt2"))
    >>> padded.bos_token_id, padded.eos_token_id
    (50256, 50256)
    """
    end, named = tokenizer.end_of_text_id, config.eos_token_id
    if named in tokenizer.special_tokens.values() or end >= config.vocabulary_size:
        return config
    starts = end if config.bos_token_id == named else config.bos_token_id
    return config.replace(bos_token_id=starts, eos_token_id=end)
