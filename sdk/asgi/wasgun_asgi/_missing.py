"""What libraries import and Python for WASI lacks: ssl, and threads for what blocks."""

from __future__ import annotations

import importlib
import sys
import types

try:
    import ssl  # noqa: F401
except ImportError:

    class _NoSsl(types.ModuleType):
        """Has names, so that it can be imported, and nothing behind them."""

        def __getattr__(self, name: str):
            if name.startswith("__"):
                raise AttributeError(name)

            def __init__(self, *args, **kwargs):
                raise NotImplementedError(f"ssl.{name}: there is no TLS in a component")

            # In except clauses, annotations and as base classes.
            placeholder = type(name, (Exception,), {"__init__": __init__})
            setattr(self, name, placeholder)
            return placeholder

    sys.modules["ssl"] = _NoSsl("ssl")


async def _run_sync(function, *args, **options):
    # An endpoint that is no coroutine holds up the others of its instance.
    return function(*args)


try:
    importlib.import_module("anyio.to_thread").run_sync = _run_sync
except ImportError:
    pass
