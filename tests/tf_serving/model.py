"""A SavedModel under TensorFlow Serving: the rules of servables/tensorflow/predict_util.cc, a real session.

The session is TensorFlow's own, loaded and run as the server does it: feeds and fetches are the tensors of
the graph that the SignatureDef names, and TensorFlow itself checks types.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from tests.tf_serving.status import CODES, Refused, invalid

Feeds = dict[str, np.ndarray]
Run = Callable[[Feeds, list[str]], list[np.ndarray]]


class Model:
    """One version of one model."""

    def __init__(self, folder: Path, name: str, version: int = 1) -> None:
        self.name, self.version = name, version
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            self.meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self._callables: dict[tuple[str, ...], Callable] = {}
        self.signatures: Mapping = self.meta_graph.signature_def

    def infos_of(self, name: str) -> dict:
        """GetInfoMap of model_servers/http_rest_api_handler.cc: a signature's inputs, for REST."""
        name = name or "serving_default"
        if name not in self.signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        return dict(self.signatures[name].inputs)

    def predict(self, request: PredictRequest, run: Run | None = None) -> PredictResponse:
        """RunPredict; `run` stands for the session, such as one that batches."""
        self._check_spec(request)
        name = request.model_spec.signature_name or "serving_default"  # kDefaultServingSignatureDefKey
        if name not in self.signatures:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        feeds, fetches, aliases = pre_process(self.signatures[name], request)
        outputs = (run or self.run)(feeds, fetches)
        response = PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = self.name, name
        response.model_spec.version.value = self.version
        for alias, output in zip(aliases, outputs, strict=True):
            response.outputs[alias].CopyFrom(tf.make_tensor_proto(output))
        return response

    def run(self, feeds: Feeds, fetches: list[str]) -> list[np.ndarray]:
        """Session::Run: nothing between the arrays and the graph, such as Python's Session.run puts there."""
        key = (*feeds, "->", *fetches)
        if key not in self._callables:
            options = config_pb2.CallableOptions(feed=list(feeds), fetch=fetches)
            self._callables[key] = self._session._make_callable_from_options(options)
        try:
            return self._callables[key](*feeds.values())
        except tf.errors.OpError as error:
            raise Refused(CODES.get(error.error_code, "INTERNAL"), error.message) from error

    def _check_spec(self, request: PredictRequest) -> None:
        """servables/tensorflow/predict_impl.cc, and the manager's look-up of a servable."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        wanted = spec.version.value if spec.HasField("version") else self.version
        if (spec.name, wanted) != (self.name, self.version):
            raise Refused("NOT_FOUND", f"Servable not found for request: {spec.name} {wanted}")


def pre_process(signature: object, request: PredictRequest) -> tuple[Feeds, list[str], list[str]]:
    """PreProcessPrediction: what to feed, what to fetch, and under which names to answer."""
    sent, known = set(request.inputs), set(signature.inputs)
    # VerifyRequestInputsSize: inputs may be missing only where the signature has defaults at all.
    if len(sent) > len(known) or (len(sent) < len(known) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: Sent extra: {sorted(sent - known)}."
            f" Missing but required: {sorted(known - sent)}."
        )
    feeds = input_values(signature, request)
    if len(set(request.output_filter)) < len(request.output_filter):
        raise invalid("duplicate output tensor alias")
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise invalid(f"output tensor alias not found in signature: {alias}")
    aliases = list(request.output_filter) or sorted(signature.outputs)
    return feeds, [signature.outputs[alias].name for alias in aliases], aliases


def input_values(signature: object, request: PredictRequest) -> Feeds:
    """GetInputValues of TensorFlow's cc/saved_model/util.cc: what is not sent has its default, if any."""
    feeds: Feeds = {}
    for alias in sorted(signature.inputs):
        if alias not in request.inputs and alias not in signature.defaults:
            raise invalid(
                f"Signature input alias: {alias} not found in request and no default value provided."
            )
        try:
            array = tf.make_ndarray(
                (request.inputs if alias in request.inputs else signature.defaults)[alias]
            )
        except (TypeError, ValueError) as error:
            raise invalid(f"tensor parsing error: {alias}") from error
        feeds[signature.inputs[alias].name] = array
    if unused := set(request.inputs) - set(signature.inputs):
        raise invalid(f"Inputs contains invalid name. {sorted(unused)}")
    return feeds
