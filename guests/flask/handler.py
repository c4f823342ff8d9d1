"""What makes a component of app.py: a WSGI server for one request, WASI 0.2.

componentize-py runs this module once and keeps the memory that is left. The
standard library is not there when a request comes, so what Python imports as
late as in its first request has to be imported now: hence the trial at the end.
"""

import sys
from io import BytesIO
from urllib.parse import unquote_to_bytes

from app import app
from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.wasi_http_types import (
    Fields,
    IncomingBody,
    IncomingRequest,
    Method_Other,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
    Scheme_Https,
)

READ = 64 * 1024
# The most that one blocking write takes.
WRITE = 4096


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        head = {}

        def start_response(status, headers, exc_info=None):
            head["status"], head["headers"] = int(status.split()[0]), headers

        pieces = app(environ(request), start_response)
        try:
            # The head is known once there is a first piece.
            body = b"".join(pieces)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

        fields = [(name.lower(), value.encode("latin-1")) for name, value in head["headers"]]
        response = OutgoingResponse(Fields.from_list(fields))
        response.set_status_code(head["status"])
        outgoing = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        try:
            with outgoing.write() as stream:
                for start in range(0, len(body), WRITE):
                    stream.blocking_write_and_flush(body[start : start + WRITE])
            OutgoingBody.finish(outgoing, None)
        except Err:
            # The client is gone, or has all that Content-Length promised.
            pass


def environ(request: IncomingRequest) -> dict:
    path, _, query = (request.path_with_query() or "/").partition("?")
    authority = request.authority() or "localhost"
    host, _, port = authority.partition(":")
    scheme = "https" if isinstance(request.scheme(), Scheme_Https) else "http"
    env = {
        "REQUEST_METHOD": method(request),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": port or ("443" if scheme == "https" else "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": authority,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.headers().entries():
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        value = value.decode("latin-1")
        env[key] = f"{env[key]},{value}" if key in env and key != "HTTP_HOST" else value
    body = read(request.consume())
    env["wsgi.input"] = BytesIO(body)
    env["CONTENT_LENGTH"] = str(len(body))
    return env


def method(request: IncomingRequest) -> str:
    method = request.method()
    return method.value if isinstance(method, Method_Other) else type(method).__name__.removeprefix("Method_").upper()


def read(body: IncomingBody) -> bytes:
    pieces = []
    with body, body.stream() as stream:
        try:
            while True:
                pieces.append(stream.blocking_read(READ))
        except Err as error:
            if not isinstance(error.value, StreamError_Closed):
                raise
    return b"".join(pieces)


with app.test_client() as client:
    for target in ("/", "/nowhere"):
        client.get(target)
