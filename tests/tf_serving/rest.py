"""The REST server: paths and answers of model_servers/http_rest_api_handler.cc and http_rest_api_util.cc."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

from google.protobuf import json_format
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

from tests.tf_serving import json_tensor
from tests.tf_serving.model import Model
from tests.tf_serving.status import Refused, invalid

PREDICT = r"(?i)/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?:(classify|regress|predict)"
STATUS = r"(?i)/v1/models(?:/([^/:]+))?(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?(?:\/(metadata))?"


def answer(model: Model, method: str, path: str, body: bytes) -> bytes:
    """ProcessRequest.

    Raises:
        Refused: with the status that the request ends with.
    """
    match = re.fullmatch(PREDICT if method == "POST" else STATUS, path)
    if match is None or (method == "POST" and match[4].lower() != "predict"):
        raise invalid(f"Malformed request: {method} {path}")
    name, version = unquote(match[1] or ""), match[2]
    if method == "GET":
        return metadata(model)
    if name != model.name or (version and int(version) != model.version):
        raise Refused("NOT_FOUND", f"Servable not found for request: Latest({name})")
    request, form = json_tensor.parse(body, model.infos_of)
    request.model_spec.name = name
    return json_tensor.make(model.predict(request).outputs, form)


def metadata(model: Model) -> bytes:
    """ProcessModelMetadataRequest; the defaults are left out: servables/tensorflow/tfrt_servable.cc."""
    signatures = SignatureDefMap()
    for name, signature in model.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
        signatures.signature_def[name].ClearField("defaults")
    listed = json_format.MessageToDict(signatures, preserving_proto_field_name=True)
    spec = {"name": model.name, "signature_name": "", "version": str(model.version)}
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": listed}}).encode()


@contextmanager
def serving(model: Model) -> Iterator[str]:
    """Serve over real HTTP on a free port; yields the model's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.respond("POST", self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self.respond("GET", b"")

        def respond(self, method: str, body: bytes) -> None:
            try:
                code, content = 200, answer(model, method, self.path, body)
            except Refused as refusal:
                code, content = refusal.http, json.dumps({"error": refusal.message}).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quietly."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/models/{model.name}"
        finally:
            server.shutdown()
