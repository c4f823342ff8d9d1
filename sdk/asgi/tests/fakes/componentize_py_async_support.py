"""As much of componentize-py's support as the adapter uses: an event loop that is polled."""

import asyncio
from contextvars import Context, ContextVar
from dataclasses import dataclass, field


@dataclass
class _FutureState:
    waitable_set: object = None
    futures: dict = field(default_factory=dict)
    handles: list = field(default_factory=list)
    pending_count: int = 0


class _Loop(asyncio.AbstractEventLoop):
    def get_debug(self):
        return False

    def is_running(self):
        return True

    def call_soon(self, callback, *args, context=None):
        if context is None:
            raise AssertionError
        handle = asyncio.Handle(callback, args, self, context)
        context[_future_state].handles.append(handle)
        return handle

    def create_task(self, coroutine, name=None, context=None):
        return asyncio.Task(coroutine, loop=self, context=context)

    def create_future(self):
        return asyncio.Future(loop=self)

    def poll(self, state):
        while state.handles:
            handles, state.handles = state.handles, []
            for handle in handles:
                if not handle._cancelled:
                    handle._run()


_future_state = ContextVar("_future_state")
_loop = _Loop()


def _set_future_state(state):
    _future_state.set(state)


def spawn(coroutine):
    _future_state.get().pending_count += 1
    asyncio.create_task(_spawned(coroutine))


async def _spawned(coroutine):
    await coroutine
    _future_state.get().pending_count -= 1


def run(coroutine):
    """Has the host call an export: its result, when nothing is left to do."""
    state = _FutureState()
    context = Context()
    context.run(_set_future_state, state)
    asyncio.set_event_loop(_loop)
    asyncio.events._set_running_loop(_loop)
    try:
        task = asyncio.Task(coroutine, loop=_loop, context=context)
        _loop.poll(state)
        assert state.pending_count == 0, f"{state.pending_count} tasks wait for ever"
        return task.result()
    finally:
        asyncio.events._set_running_loop(None)
