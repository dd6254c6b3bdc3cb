"""A SavedModel in this process, asked as if it were on a server."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerasgpt.errors import UsageError, graph_reason
from kerasgpt.serving.predict_client import Arrays, Predict, ServerAnswerError


def saved_model_predict(loaded: Any) -> Predict:
    """A predict function over a SavedModel in memory.

    Args:
        loaded: what ``tf.saved_model.load(folder)`` gives; it stays loaded as long as the function lives.

    Returns:
        The function. It raises a UsageError for a signature that is not there, and a ServerAnswerError where
        the graph refuses its inputs.
    """

    def predict(signature: str, inputs: Arrays) -> Arrays:
        if signature not in loaded.signatures:
            known = ", ".join(sorted(loaded.signatures))
            raise UsageError(f"this SavedModel has no signature {signature}; it has {known}")
        try:
            outputs = loaded.signatures[signature](**inputs)
        except Exception as error:  # TensorFlow's own classes, and this room does not import it
            reason = graph_reason(error)
            raise ServerAnswerError(f"{signature}: the SavedModel refuses: {reason}") from error
        return {name: np.asarray(tensor.numpy()) for name, tensor in outputs.items()}

    return predict
