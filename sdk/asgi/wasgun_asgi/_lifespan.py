"""The lifespan protocol: an instance starts up at its first request. It ends without
notice, so there is no shutdown."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable


class Lifespan:
    """The start of one instance."""

    def __init__(self, app: Callable):
        self._app = app
        self._task: asyncio.Task | None = None
        self._started: asyncio.Future | None = None
        self._state: dict = {}

    async def state(self) -> dict:
        """What the application has put into `state` at its start, which the first request waits for."""
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run())
        await asyncio.shield(self._started)
        return self._state

    async def _run(self) -> None:
        is_asked = False

        async def receive() -> dict:
            nonlocal is_asked
            if is_asked:
                await asyncio.get_running_loop().create_future()
            is_asked = True
            return {"type": "lifespan.startup"}

        async def send(message: dict) -> None:
            if message["type"] == "lifespan.startup.failed":
                self._fail(RuntimeError(f"the application did not start up: {message.get('message', '')}"))
            else:
                self._done()

        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            # Who does not know the protocol raises at once, and needs no start.
            if is_asked:
                traceback.print_exc(file=sys.stderr)
                self._fail(error)
        self._done()

    def _done(self) -> None:
        if not self._started.done():
            self._started.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._started.done():
            self._started.set_exception(error)
