"""A bare WSGI app below the validator of the standard library, which fails a request in
which the server or the app breaks PEP 3333."""

import json
from urllib.parse import parse_qs
from wsgiref.validate import validator

from wasgun_wsgi import handler

PLAIN = ("Content-Type", "text/plain; charset=utf-8")


def app(environ, start_response):
    match f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}":
        case "GET /":
            start_response("200 OK", [PLAIN])
            return [b"Hello from the validator!\n"]
        case "POST /echo":
            start_response("200 OK", [("Content-Type", environ.get("CONTENT_TYPE", "text/plain"))])
            return iter(lambda: environ["wsgi.input"].read(8192), b"")
        case "GET /headers":
            answered = ("X-Answer", environ.get("HTTP_X_QUESTION", ""))
            start_response("200 OK", [PLAIN, answered, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
            return [b""]
        case "GET /query":
            name = parse_qs(environ["QUERY_STRING"]).get("name", ["world"])[0]
            write = start_response("200 OK", [PLAIN])
            write(b"Hello, ")
            return [f"{name}!\n".encode()]
        case "POST /json":
            try:
                total = sum(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))["numbers"])
            except (ValueError, KeyError, TypeError):
                start_response("400 Bad Request", [PLAIN])
                return [b"numbers is to be a list of numbers\n"]
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"sum": total}).encode()]
        case "GET /error":
            raise RuntimeError("asked to")
        case _:
            start_response("404 Not Found", [PLAIN])
            return [b"Not found\n"]


IncomingHandler = handler(validator(app), warm=["/", "/headers", "/query?name=x"])
