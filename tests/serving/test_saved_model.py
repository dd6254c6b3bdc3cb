"""A SavedModel in memory answers like one on a server."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.serving.predict_client import ServerAnswerError
from kerasgpt.serving.saved_model import saved_model_predict


def test_arrays_in_arrays_out(fake_loaded: Any) -> None:
    answer = saved_model_predict(fake_loaded)("serving_default", {"prompts": np.array([b"a", b"bc"], object)})
    assert answer["text"].tolist() == [b"A", b"BC"]


def test_an_unknown_signature_is_told(fake_loaded: Any) -> None:
    with pytest.raises(UsageError, match="no signature stream; it has decode, generate, prefill"):
        saved_model_predict(fake_loaded)("stream", {})


@pytest.mark.parametrize("inputs", [{}, {"prompts": np.array([1])}, {"prompt": np.array([b"a"], object)}])
def test_wrong_inputs_are_told(fake_loaded: Any, inputs: Any) -> None:
    with pytest.raises(ServerAnswerError, match="^serving_default: the SavedModel refuses: "):
        saved_model_predict(fake_loaded)("serving_default", inputs)


def test_of_an_assertion_its_sentence_is_told() -> None:
    def fail(**_: Any) -> None:
        raise ValueError("Graph execution error:\n\n<stack>\nassertion failed: [one is missing] [x = ] [2]")

    loaded = SimpleNamespace(signatures={"score": fail})
    with pytest.raises(ServerAnswerError, match="^score: the SavedModel refuses: one is missing$"):
        saved_model_predict(loaded)("score", {})
