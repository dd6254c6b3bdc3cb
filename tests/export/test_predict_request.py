"""The messages declared here are TensorFlow Serving's own, byte for byte."""

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.unknown_fields import UnknownFieldSet
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from kerasgpt.export.predict_request import predict_request, prediction_log

INPUTS = {
    "prompts": np.array(["naïve 北京 🙂\n".encode(), b""], object),
    "seed": np.array([2**63 - 1, -5]),
    "temperature": np.array([0.8, np.nan], np.float32),
    "attention_mask": np.array([[1, 0, 1], [1, 1, 1]], np.int32),
    "nothing": np.zeros((2, 0), np.int64),
}


def test_the_real_messages_read_the_same() -> None:
    ours = predict_request("model", "generate", INPUTS)
    real = PredictRequest.FromString(ours.SerializeToString())
    assert (real.model_spec.name, real.model_spec.signature_name) == ("model", "generate")
    assert set(real.inputs) == set(INPUTS)
    for name, array in INPUTS.items():
        read = tf.make_ndarray(real.inputs[name])
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype
    assert len(UnknownFieldSet(real)) == 0


def test_the_text_form_is_the_same_message() -> None:
    ours = predict_request("model", "generate", INPUTS)
    text = text_format.MessageToString(ours)
    read = text_format.Parse(text, PredictRequest())
    assert text_format.MessageToString(read) == text


def test_a_log_holds_the_request() -> None:
    request = predict_request("model", "generate", INPUTS)
    log = PredictionLog.FromString(prediction_log(request).SerializeToString())
    assert log.WhichOneof("log_type") == "predict_log"
    real = PredictRequest.FromString(request.SerializeToString())
    assert text_format.MessageToString(log.predict_log.request) == text_format.MessageToString(real)
