"""The host's side of a request: all that names WASI."""

from __future__ import annotations

import io

from componentize_py_types import Err, Ok
from wit_world.imports import wasi_http_types as http
from wit_world.imports.streams import StreamError_Closed

# The most that the host takes in one blocking call.
_BLOCKING_WRITE = 4096
_READ = 64 * 1024


class ClientGone(Exception):
    """Nobody takes any more of the response: the client went, or has all of it."""


class Exchange:
    """A request and the response to it. What it has of the host it gives back at its end."""

    def __init__(self, request: http.IncomingRequest, response_out: http.ResponseOutparam):
        self._request = request
        self._response_out = response_out
        self._body = None
        self._stream = None
        self.method = _method(request.method())
        self.target = request.path_with_query() or "/"
        self.scheme = "https" if isinstance(request.scheme(), http.Scheme_Https) else "http"
        self.authority = request.authority() or "localhost"
        with request.headers() as fields:
            self.fields = fields.entries()

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *exc_info) -> None:
        # A body that was not finished ends as one that is cut.
        for resource in (self._stream, self._body, self._request):
            if resource is not None:
                resource.__exit__(*exc_info)

    def consume(self) -> http.IncomingBody:
        """The body of the request, once."""
        return self._request.consume()

    def begin(self, status: int, fields: list[tuple[str, bytes]]) -> None:
        """Sends the head of the response.

        Raises `ValueError` for a field that the host refuses.
        """
        try:
            head = http.Fields.from_list(fields)
        except Err as error:
            raise ValueError(f"the host refuses the header fields {fields}: {error.value}") from error
        response = http.OutgoingResponse(head)
        response.set_status_code(status)
        self._body = response.body()
        self._stream = self._body.write()
        http.ResponseOutparam.set(self._response_out, Ok(response))

    def send(self, data: bytes) -> None:
        """Sends a piece of the body, and has it delivered."""
        try:
            if len(data) <= _BLOCKING_WRITE:
                self._stream.blocking_write_and_flush(data)
                return
            at = 0
            while at < len(data):
                if room := self._stream.check_write():
                    self._stream.write(data[at : at + room])
                    at += room
                else:
                    with self._stream.subscribe() as ready:
                        ready.block()
            self._stream.blocking_flush()
        except Err as error:
            raise ClientGone from error

    def finish(self) -> None:
        """Ends the response; what is not ended so is cut."""
        self._stream.__exit__(None, None, None)
        body, self._stream, self._body = self._body, None, None
        try:
            http.OutgoingBody.finish(body, None)
        except Err as error:
            # A HEAD announces what it does not send.
            if self.method != "HEAD":
                raise ValueError(f"the body has another length than was announced: {error.value}") from error


class Body(io.BufferedReader):
    """The body of a request as a file."""

    def __init__(self, exchange: Exchange):
        super().__init__(_RawBody(exchange), _READ)


class _RawBody(io.RawIOBase):
    def __init__(self, exchange: Exchange):
        self._exchange = exchange
        self._body = None
        self._stream = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if self._body is None:
            # Not before: it may be that nobody wants it.
            self._body = self._exchange.consume()
            self._stream = self._body.stream()
        try:
            # It may give less than nothing is left of, an empty piece at times.
            while not (data := self._stream.blocking_read(min(len(buffer), _READ))):
                pass
        except Err as error:
            if isinstance(error.value, StreamError_Closed):
                return 0
            raise OSError("the client sent less of the body than it announced") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if self._body is not None and not self.closed:
            self._stream.__exit__(None, None, None)
            self._body.__exit__(None, None, None)
        super().close()


def _method(method: http.Method) -> str:
    if isinstance(method, http.Method_Other):
        return method.value
    return type(method).__name__.removeprefix("Method_").upper()
