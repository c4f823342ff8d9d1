"""The response: what an application says by `start_response`, `write` and its iterable."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from wsgiref.util import is_hop_by_hop

from ._host import ClientGone, Exchange


class Reply:
    """The response of one request."""

    def __init__(self, exchange: Exchange):
        self._exchange = exchange
        self._head: tuple[int, list[tuple[str, bytes]]] | None = None
        self._has_begun = False

    def run(self, call: Callable[[], Iterable[bytes]]) -> None:
        """Calls the application and sends what it gives back.

        What it raises goes to stderr, and the client gets a 500, or a response that
        is cut if some of it was sent.
        """
        try:
            result = call()
            try:
                self._send_all(result)
            finally:
                if hasattr(result, "close"):
                    result.close()
        except ClientGone:
            pass
        except Exception:
            traceback.print_exc(file=sys.stderr)
            if not self._has_begun:
                self._fail()

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info=None) -> Callable[[bytes], None]:
        """`start_response` of PEP 3333."""
        if exc_info:
            try:
                if self._has_begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                # It refers to this frame.
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called twice, and the second time without exc_info")
        for name, _ in headers:
            if is_hop_by_hop(name):
                raise AssertionError(f"{name} is between the server and its client, not the application's")
        fields = [(name.lower(), value.encode("latin-1")) for name, value in headers]
        self._head = int(status[:3]), fields
        return self._write

    def _send_all(self, result: Iterable[bytes]) -> None:
        is_only = hasattr(result, "__len__") and len(result) == 1
        for piece in result:
            # The head waits for the first piece that has something in it.
            if piece:
                self._begin(len(piece) if is_only else None)
                self._exchange.send(piece)
        self._begin(0)
        self._exchange.finish()

    def _write(self, data: bytes) -> None:
        self._begin(None)
        self._exchange.send(data)

    def _begin(self, length: int | None) -> None:
        if self._has_begun:
            return
        if self._head is None:
            raise AssertionError("the application has not called start_response")
        status, fields = self._head
        is_known = any(name == "content-length" for name, _ in fields)
        # Neither of these has one (RFC 9110, 8.6), and a HEAD's is not of what is sent.
        if length is not None and not is_known and status not in (204, 304) and self._exchange.method != "HEAD":
            fields = [*fields, ("content-length", str(length).encode())]
        self._exchange.begin(status, fields)
        self._has_begun = True

    def _fail(self) -> None:
        text = b"Internal Server Error\n"
        self._head = 500, [("content-type", b"text/plain; charset=utf-8")]
        try:
            self._begin(len(text))
            self._exchange.send(text)
            self._exchange.finish()
        except ClientGone:
            pass
