"""An app for WASI 0.2, on nothing but its bindings."""

import gc
import json
from urllib.parse import parse_qs

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.wasi_http_types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam

from bodies import ClientGone, pieces, send

PLAIN = ("content-type", b"text/plain; charset=utf-8")


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        # Children are dropped before their parents.
        with request:
            path, _, query = (request.path_with_query() or "/").partition("?")
            method = type(request.method()).__name__.removeprefix("Method_").upper()
            status, fields, body = answer(f"{method} {path}", query, request)
            respond(response_out, status, fields, body)


def answer(route: str, query: str, request: IncomingRequest):
    """The status, the fields and the pieces of the body of a response."""
    match route:
        case "GET /":
            return 200, [PLAIN], [b"Hello from Python!\n"]
        case "POST /echo":
            kind = field(request, "content-type") or b"application/octet-stream"
            # As it comes.
            return 200, [("content-type", kind)], pieces(request)
        case "GET /headers":
            answered = field(request, "x-question") or b""
            return 200, [("x-answer", answered), ("set-cookie", b"a=1"), ("set-cookie", b"b=2")], []
        case "GET /query":
            name = parse_qs(query).get("name", ["world"])[0]
            return 200, [PLAIN], [f"Hello, {name}!\n".encode()]
        case "POST /json":
            return add_up(b"".join(pieces(request)))
        case "GET /error":
            raise RuntimeError("asked to")
        case _:
            return 404, [PLAIN], [b"Not found\n"]


def add_up(body: bytes):
    try:
        total = sum(json.loads(body)["numbers"])
    except (ValueError, KeyError, TypeError):
        return 400, [PLAIN], [b"numbers is to be a list of numbers\n"]
    return 200, [("content-type", b"application/json")], [json.dumps({"sum": total}).encode()]


def field(request: IncomingRequest, name: str) -> bytes | None:
    """The first field of that name."""
    with request.headers() as fields:
        return next(iter(fields.get(name)), None)


def respond(response_out: ResponseOutparam, status: int, fields: list[tuple[str, bytes]], body) -> None:
    response = OutgoingResponse(Fields.from_list(fields))
    response.set_status_code(status)
    outgoing = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    try:
        with outgoing.write() as stream:
            for piece in body:
                send(stream, piece)
    except ClientGone:
        # A body that is not finished is cut.
        outgoing.__exit__(None, None, None)
        return
    OutgoingBody.finish(outgoing, None)


# What is there while it is built stays: to look for garbage in it would write to all of its memory.
gc.collect()
gc.freeze()
