"""The scope of an HTTP request, by the ASGI specification 3.0 (HTTP 2.4)."""

from __future__ import annotations

from urllib.parse import unquote

from ._exchange import Exchange


def scope(exchange: Exchange, state: dict) -> dict:
    """The scope of a request."""
    found = _scope(exchange.method, exchange.target, exchange.scheme, exchange.authority)
    fields = [(name.lower().encode("latin-1"), value) for name, value in exchange.fields]
    if not any(name == b"host" for name, _ in fields):
        fields.insert(0, (b"host", exchange.authority.encode("latin-1")))
    # One address, and the right one: the server sees to that.
    client = next((value for name, value in fields if name == b"x-forwarded-for"), None)
    found["headers"] = fields
    found["client"] = (client.decode("latin-1"), 0) if client else None
    found["state"] = state.copy()
    return found


def warming_scope(target: str) -> dict:
    """The scope of a GET that nobody has sent."""
    return {**_scope("GET", target, "http", "localhost"), "headers": [(b"host", b"localhost")], "state": {}}


def _scope(method: str, target: str, scheme: str, authority: str) -> dict:
    path, _, query = target.partition("?")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, ""
    default = 443 if scheme == "https" else 80
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "server": (host, int(port) if port.isdigit() else default),
        "client": None,
    }
