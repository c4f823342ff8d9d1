"""Serves a WSGI application (PEP 3333) as a WASI 0.2 component.

    from wasgun_wsgi import handler
    from app import app

    IncomingHandler = handler(app, warm=["/"])

componentize-py makes a component of the module that has these lines.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable

from wit_world import exports

from ._environ import environ, warming_environ
from ._host import Body, Exchange
from ._reply import Reply

__all__ = ["handler"]


def handler(app: Callable, warm: Iterable[str] = ()) -> type:
    """The class that componentize-py looks for, under the name IncomingHandler.

    componentize-py runs the program while it builds, keeps the memory that is left,
    and leaves out the standard library: what is imported as late as in a request has to
    be imported before. So each of the paths in `warm` is asked for while it builds, and
    once a path that is not there. An exception of the app ends the build.
    """
    for target in (*warm, "/wasgun-warms-up"):
        _warm(app, target)
    # What is there now stays: to look for garbage in it would write to all of its memory.
    gc.collect()
    gc.freeze()

    class IncomingHandler(exports.IncomingHandler):
        def handle(self, request, response_out):
            with Exchange(request, response_out) as exchange:
                _respond(app, exchange)

    return IncomingHandler


def _respond(app: Callable, exchange: Exchange) -> None:
    with Body(exchange) as body:
        reply = Reply(exchange)
        reply.run(lambda: app(environ(exchange, body), reply.start_response))


def _warm(app: Callable, target: str) -> None:
    result = app(warming_environ(target), lambda status, headers, exc_info=None: lambda data: None)
    try:
        for _ in result:
            pass
    finally:
        if hasattr(result, "close"):
            result.close()
