"""The environ of PEP 3333."""

from __future__ import annotations

import sys
from io import BytesIO
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from ._host import Exchange


def environ(exchange: Exchange, body: BinaryIO) -> dict:
    """The environ of a request."""
    env = _environ(exchange.method, exchange.target, exchange.scheme, exchange.authority, body)
    for name, value in exchange.fields:
        # x_a and x-a would have the same name, and only one may be trusted.
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        if key in env and key != "HTTP_HOST":
            text = f"{env[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        env[key] = text
    # One address, and the right one: the server sees to that.
    env["REMOTE_ADDR"] = env.get("HTTP_X_FORWARDED_FOR", "")
    return env


def warming_environ(target: str) -> dict:
    """The environ of a GET that nobody has sent."""
    return _environ("GET", target, "http", "localhost", BytesIO())


def _environ(method: str, target: str, scheme: str, authority: str, body: BinaryIO) -> dict:
    path, _, query = target.partition("?")
    host, port = _host_and_port(authority)
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        # `OPTIONS *` is about no path.
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if path.startswith("/") else "",
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "SERVER_NAME": host or "localhost",
        "SERVER_PORT": port or ("443" if scheme == "https" else "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "wasgun",
        "HTTP_HOST": authority,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": body,
        # A body of unknown length ends by itself.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _host_and_port(authority: str) -> tuple[str, str]:
    if authority.endswith("]"):
        return authority, ""
    host, colon, port = authority.rpartition(":")
    return (host, port) if colon else (authority, "")
