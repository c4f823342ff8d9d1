"""What asyncio needs of an event loop, and componentize-py's lacks: timers, callbacks without
a context, and a word about exceptions that nobody has caught."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
import traceback

import componentize_py_async_support as support
from wit_world.imports import monotonic_clock

# A timer that was cancelled is noticed so late, in seconds: until then the request lives on.
_SLICE = 0.25

spawn = support.spawn
_call_soon = support._Loop.call_soon
_is_building = False


def run_to_end(coroutine) -> None:
    """Runs a coroutine that waits for nobody, while the component is built."""
    global _is_building
    _is_building = True
    state = support._FutureState(None, {}, [], 1)
    context = contextvars.Context()
    context.run(support._set_future_state, state)
    task = asyncio.Task(coroutine, loop=support._loop, context=context)
    support._loop.poll(state)
    _is_building = False
    if not task.done():
        raise RuntimeError("while it is built an application cannot wait for anybody; ask it for another path")
    task.result()


def call_soon(loop, callback, *args, context=None):
    return _call_soon(loop, callback, *args, context=context or contextvars.copy_context())


def call_later(loop, delay, callback, *args, context=None):
    return call_at(loop, loop.time() + delay, callback, *args, context=context)


def call_at(loop, when, callback, *args, context=None):
    context = context or contextvars.copy_context()
    handle = asyncio.TimerHandle(when, callback, args, loop, context)
    # Nothing waits while the component is built.
    if not _is_building:
        context.run(spawn, _run_at(handle))
    return handle


async def _run_at(handle: asyncio.TimerHandle) -> None:
    while not handle.cancelled():
        rest = handle.when() - time.monotonic()
        if rest <= 0:
            handle._run()
            return
        await monotonic_clock.wait_for(int(min(rest, _SLICE) * 1e9) + 1)


def call_exception_handler(loop, context: dict) -> None:
    print(context.get("message", "an exception was not caught"), file=sys.stderr)
    if (error := context.get("exception")) is not None:
        traceback.print_exception(error, file=sys.stderr)


async def _run_inline(function, *args):
    return function(*args)


for name, method in {
    "call_soon": call_soon,
    "call_soon_threadsafe": call_soon,
    "call_later": call_later,
    "call_at": call_at,
    "call_exception_handler": call_exception_handler,
    "time": lambda loop: time.monotonic(),
    "get_task_factory": lambda loop: None,
    "get_exception_handler": lambda loop: None,
    # There are no threads: what would run in one holds up the others.
    "run_in_executor": lambda loop, executor, function, *args: asyncio.ensure_future(_run_inline(function, *args)),
    "_timer_handle_cancelled": lambda loop, handle: None,
}.items():
    setattr(support._Loop, name, method)
