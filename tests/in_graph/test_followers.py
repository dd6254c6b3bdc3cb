"""What follows each token alone is what the Keras model says after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.export.saved_model import graph_weights
from kerasgpt.in_graph import followers as module
from kerasgpt.in_graph.followers import followers
from kerasgpt.models.gpt2 import GPT2CausalLM


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_each_token_alone(small_model: GPT2CausalLM, precision: str) -> None:
    config = small_model.config
    arrays = graph_weights(config, named_arrays(small_model), precision)
    ids = np.arange(config.vocabulary_size)
    expected = np.asarray(small_model(ids[:, None]))[:, 0].argmax(-1)
    found = followers(config, arrays, precision == "fp32")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    assert len(set(found.tolist())) > 10


def test_rare_tokens_are_left_out(small_model: GPT2CausalLM, monkeypatch: Any) -> None:
    config = small_model.config
    arrays = graph_weights(config, named_arrays(small_model), "fp32")
    all_of_them = followers(config, arrays, True)
    monkeypatch.setattr(module, "MOST_TOKENS", 100)
    monkeypatch.setattr(module, "_TOGETHER", 30)
    found = followers(config, arrays, True)
    np.testing.assert_array_equal(found[:100], all_of_them[:100])
    assert set(found[100:].tolist()) == {-1}
