"""The host's side of a request: all that names WASI's HTTP."""

from __future__ import annotations

import asyncio

import wit_world
from componentize_py_types import Err, Ok
from wit_world.imports import wasi_http_types as http

_READ = 64 * 1024


class ClientGone(OSError):
    """Nobody takes any more of the response."""


def _future(beginning: str):
    """The function of the bindings that makes a future of that type; its name depends on the world."""
    names = [name for name in dir(wit_world) if name.startswith(beginning) and "http" in name]
    # In a world of wasi:http alone nothing has to tell its types apart.
    names = names or [name for name in dir(wit_world) if name.startswith(beginning)]
    return getattr(wit_world, names[0])


class Exchange:
    """A request and the response to it, by what an ASGI application receives and sends."""

    def __init__(self, request: http.Request):
        self._request = request
        self._body = None
        self._trailers = None
        self._is_read = False
        self._is_done = asyncio.get_running_loop().create_future()
        self._response = asyncio.get_running_loop().create_future()
        self._start: dict | None = None
        self._writer = None
        self._result = None
        self.has_ended = False
        self.method = _method(request.get_method())
        self.target = request.get_path_with_query() or "/"
        self.scheme = "https" if isinstance(request.get_scheme(), http.Scheme_Https) else "http"
        self.authority = request.get_authority() or "localhost"
        with request.get_headers() as fields:
            self.fields = fields.copy_all()

    async def response(self) -> http.Response:
        """The response, once its head is known."""
        return await self._response

    async def receive(self) -> dict:
        """`receive` of ASGI."""
        if self._is_read:
            await asyncio.shield(self._is_done)
            return {"type": "http.disconnect"}
        if self._body is None:
            # Not before: it may be that nobody wants it.
            _, handled = _future("result_unit_")(lambda: Ok(None))
            self._body, self._trailers = http.Request.consume_body(self._request, handled)
        data = await self._body.read(_READ)
        if data or not self._body.writer_dropped:
            return {"type": "http.request", "body": data, "more_body": True}
        self._is_read = True
        if isinstance(await self._trailers.read(), Err):
            # The client sent less than it announced.
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: dict) -> None:
        """`send` of ASGI."""
        kind = message["type"]
        if kind == "http.response.start":
            if self._start is not None:
                raise RuntimeError("http.response.start was sent twice")
            self._start = message
        elif kind == "http.response.body":
            if self._start is None:
                raise RuntimeError("http.response.body was sent before http.response.start")
            if self.has_ended:
                raise RuntimeError("http.response.body was sent after the end of the body")
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"messages of type {kind!r} are not supported")

    async def end(self) -> None:
        """Ends what the application has not ended: with a 500, or a response that is cut."""
        if self.has_ended:
            return
        if self._writer is None:
            text = b"Internal Server Error\n"
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
            self._start = {"status": 500, "headers": headers}
            try:
                await self._send_body(text, False)
            except ClientGone:
                pass
            return
        self.has_ended = True
        self._close()
        await self._result.write(Err(http.ErrorCode_InternalError("the application failed")))

    async def _send_body(self, data: bytes, has_more: bool) -> None:
        if self._writer is None:
            self._begin(None if has_more else len(data))
        if data and self.method != "HEAD":
            await self._writer.write_all(bytes(data))
            if self._writer.reader_dropped:
                self.has_ended = True
                self._close()
                self._result.__exit__(None, None, None)
                raise ClientGone("the client is gone")
        if not has_more:
            self.has_ended = True
            self._close()
            # What it says by default: all went well.
            self._result.__exit__(None, None, None)

    def _begin(self, length: int | None) -> None:
        status = self._start["status"]
        fields = [(bytes(name).decode("latin-1").lower(), bytes(value)) for name, value in self._start.get("headers", ())]
        is_known = any(name == "content-length" for name, _ in fields)
        # Neither of these has one (RFC 9110, 8.6), and a HEAD's is not of what is sent.
        if length is not None and not is_known and status not in (204, 304) and self.method != "HEAD":
            fields.append(("content-length", str(length).encode()))
        try:
            head = http.Fields.from_list(fields)
        except Err as error:
            raise ValueError(f"the host refuses the header fields {fields}: {error.value}") from error
        writer, reader = wit_world.byte_stream()
        result, trailers = _future("result_option_")(lambda: Ok(None))
        response, sent = http.Response.new(head, reader, trailers)
        # Whether it arrived is seen by its body.
        sent.__exit__(None, None, None)
        try:
            response.set_status_code(status)
        except Err as error:
            raise ValueError(f"the host refuses the status {status}") from error
        # Not before it is a response: until then a 500 can be sent.
        self._writer, self._result = writer, result
        self._response.set_result(response)

    def _close(self) -> None:
        self._writer.__exit__(None, None, None)
        if not self._is_done.done():
            self._is_done.set_result(None)


def _method(method: http.Method) -> str:
    if isinstance(method, http.Method_Other):
        return method.value
    return type(method).__name__.removeprefix("Method_").upper()
