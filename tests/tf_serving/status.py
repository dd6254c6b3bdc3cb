"""A refusal, as TensorFlow Serving reports it over gRPC and over HTTP."""

from http import HTTPStatus

HTTP = {  # model_servers/http_server.cc, ToHTTPStatusCode
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "FAILED_PRECONDITION": HTTPStatus.BAD_REQUEST,
    "OUT_OF_RANGE": HTTPStatus.BAD_REQUEST,
    "DEADLINE_EXCEEDED": HTTPStatus.GATEWAY_TIMEOUT,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "UNIMPLEMENTED": HTTPStatus.NOT_IMPLEMENTED,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
}
CODES = {3: "INVALID_ARGUMENT", 5: "NOT_FOUND", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION"}
"""absl's numbers of what TensorFlow's own operators refuse with."""


class Refused(Exception):  # noqa: N818 - a status, not an error of ours
    """A status that is not OK."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message

    @property
    def http(self) -> HTTPStatus:
        return HTTP.get(self.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def invalid(message: str) -> Refused:
    return Refused("INVALID_ARGUMENT", message)
