"""Serves an ASGI application as a WASI 0.3 component.

    from wasgun_asgi import handler
    from app import app

    Handler = handler(app, warm=["/"])

componentize-py makes a component of the module that has these lines, which come before all
that imports asyncio's event loop, anyio or ssl.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterable

from . import _loop, _missing  # noqa: F401  before what they complete is used
from ._exchange import ClientGone, Exchange
from ._lifespan import Lifespan
from ._scope import scope, warming_scope
from wit_world import exports

__all__ = ["handler"]


def handler(app: Callable, warm: Iterable[str] = ()) -> type:
    """The class that componentize-py looks for, under the name Handler.

    componentize-py runs the program while it builds, keeps the memory that is left,
    and leaves out the standard library: what is imported as late as in a request has to
    be imported before. So each of the paths in `warm` is asked for while it builds, and
    once a path that is not there. An exception of the app ends the build.
    """
    for target in (*warm, "/wasgun-warms-up"):
        _loop.run_to_end(_warm(app, target))
    # What is there now stays: to look for garbage in it would write to all of its memory.
    gc.collect()
    gc.freeze()
    lifespan = Lifespan(app)

    class Handler(exports.Handler):
        async def handle(self, request):
            state = await lifespan.state()
            exchange = Exchange(request)
            _loop.spawn(_respond(app, exchange, scope(exchange, state)))
            return await exchange.response()

    return Handler


async def _respond(app: Callable, exchange: Exchange, scope: dict) -> None:
    try:
        await app(scope, exchange.receive, exchange.send)
        if not exchange.has_ended:
            raise RuntimeError("the application returned before its response was complete")
    except ClientGone:
        pass
    except Exception:
        traceback.print_exc(file=sys.stderr)
    finally:
        await exchange.end()


async def _warm(app: Callable, target: str) -> None:
    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        pass

    await app(warming_scope(target), receive, send)
