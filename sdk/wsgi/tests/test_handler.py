"""What becomes of requests, against a host that is a fake."""

import contextlib
import io
import unittest
from unittest import mock
from wsgiref.validate import validator

from wit_world.imports import wasi_http_types as http

from wasgun_wsgi import handler


def ask(app, takes=None, is_validated=True, **request):
    """Has `app` answer a request; what the host notes, and what went to stderr."""
    param = http.ResponseOutparam(takes)
    incoming = http.IncomingRequest(**request)
    app = validator(app) if is_validated else app
    # What happens while a component is built is another test's.
    with mock.patch("wasgun_wsgi._warm"), contextlib.redirect_stderr(io.StringIO()) as stderr:
        handler(app)().handle(incoming, param)
    assert incoming.is_dropped, "the request is dropped"
    return param, stderr.getvalue()


def text(start_response, *pieces, status="200 OK", headers=()):
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return list(pieces)


class Responses(unittest.TestCase):
    def test_a_whole_one_has_a_length(self):
        param, _ = ask(lambda environ, start: text(start, b"hello"), is_validated=False)
        self.assertEqual((param.status, param.pieces, param.is_finished), (200, [b"hello"], True))
        self.assertEqual(param.fields, [("content-type", b"text/plain"), ("content-length", b"5")])

    def test_each_piece_is_delivered_before_the_next_is_asked_for(self):
        seen = []

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            for at in range(3):
                seen.append(len(app.param.pieces))
                yield b"" if at == 1 else b"x"

        app.param = http.ResponseOutparam()
        with mock.patch("wasgun_wsgi._warm"):
            handler(app)().handle(http.IncomingRequest(), app.param)
        self.assertEqual((seen, app.param.pieces), ([0, 1, 1], [b"x", b"x"]))
        self.assertNotIn("content-length", dict(app.param.fields))

    def test_large_pieces_go_as_the_host_has_room(self):
        param, _ = ask(lambda environ, start: text(start, b"x" * 12_345))
        self.assertEqual((b"".join(param.pieces), param.is_finished), (b"x" * 12_345, True))

    def test_write_is_there_too(self):
        def app(environ, start_response):
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"one ")
            return [b"two"]

        param, _ = ask(app)
        self.assertEqual((b"".join(param.pieces), param.is_finished), (b"one two", True))

    def test_statuses_without_a_body_and_head(self):
        param, _ = ask(lambda environ, start: start("204 No Content", []) and [], is_validated=False)
        self.assertEqual((param.status, param.fields, param.is_finished), (204, [], True))
        headers = [("Content-Length", "5")]
        param, error = ask(lambda environ, start: text(start, headers=headers), method=http.Method_Head())
        self.assertEqual((param.fields[1], param.pieces, error), (("content-length", b"5"), [], ""))

    def test_fields_of_one_name_stay_apart(self):
        headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xff")]
        param, _ = ask(lambda environ, start: text(start, b"", headers=headers))
        self.assertEqual(param.fields[1:3], [("set-cookie", b"a=1"), ("set-cookie", b"b=\xff")])

    def test_the_iterable_is_closed_whatever_happens(self):
        class Pieces:
            closed = 0

            def __init__(self, fails):
                self.fails = fails

            def __iter__(self):
                yield b"x" * 5000
                if self.fails:
                    raise RuntimeError("amid the body")

            def close(self):
                Pieces.closed += 1

        for takes, fails in [(None, False), (None, True), (10, False)]:
            start = lambda environ, start_response: start_response("200 OK", []) and Pieces(fails)
            ask(start, takes=takes, is_validated=False)
        self.assertEqual(Pieces.closed, 3)


class Failures(unittest.TestCase):
    def test_before_the_head_it_is_a_500(self):
        def app(environ, start_response):
            raise RuntimeError("asked to")

        for failing in [
            app,
            lambda environ, start: [b"no start_response"],
            lambda environ, start: text(start, b"x", headers=[("Connection", "close")]),
            lambda environ, start: text(start, b"x", headers=[("X", "two\nlines")]),
        ]:
            param, error = ask(failing, is_validated=False)
            self.assertEqual((param.status, param.pieces, param.is_finished), (500, [b"Internal Server Error\n"], True))
            self.assertIn("Traceback", error)

    def test_after_the_head_the_response_is_cut(self):
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield b"x"
            raise RuntimeError("asked to")

        param, error = ask(app)
        self.assertEqual((param.status, param.pieces, param.is_finished), (200, [b"x"], None))
        self.assertIn("asked to", error)

    def test_another_length_than_was_announced_is_told(self):
        param, error = ask(lambda environ, start: text(start, b"x", headers=[("Content-Length", "5")]))
        self.assertIsNone(param.is_finished)
        self.assertIn("another length", error)

    def test_a_client_that_is_gone_is_no_failure(self):
        param, error = ask(lambda environ, start: text(start, b"x" * 5000, b"y"), takes=10)
        self.assertEqual((param.status, param.is_finished, error), (200, None, ""))

    def test_exc_info_replaces_a_head_that_was_not_sent(self):
        def app(environ, start_response):
            import sys

            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                raise RuntimeError("asked to")
            except RuntimeError:
                return text(lambda *head: start_response(*head, sys.exc_info()), b"failed", status="503 Busy")

        param, _ = ask(app)
        self.assertEqual((param.status, param.pieces), (503, [b"failed"]))


class Requests(unittest.TestCase):
    def test_the_environ_is_complete(self):
        def app(environ, start_response):
            app.environ = dict(environ)
            return text(start_response, b"")

        fields = [("cookie", b"a=1"), ("cookie", b"b=2"), ("x-twice", b"1"), ("x-twice", b"\xff"), ("x_a", b"forged"),
                  ("content-type", b"text/x"), ("content-length", b"0"), ("x-forwarded-for", b"203.0.113.9")]
        ask(app, method=http.Method_Other("BREW"), target="/caf%C3%A9/a%2Fb?q=%20", fields=fields, scheme=http.Scheme_Https())
        for key, value in {
            "REQUEST_METHOD": "BREW",
            "PATH_INFO": "/caf\xc3\xa9/a/b",
            "QUERY_STRING": "q=%20",
            "REQUEST_URI": "/caf%C3%A9/a%2Fb?q=%20",
            "SERVER_NAME": "example.com",
            "SERVER_PORT": "8000",
            "HTTP_HOST": "example.com:8000",
            "HTTP_COOKIE": "a=1; b=2",
            "HTTP_X_TWICE": "1,\xff",
            "CONTENT_TYPE": "text/x",
            "CONTENT_LENGTH": "0",
            "REMOTE_ADDR": "203.0.113.9",
            "wsgi.url_scheme": "https",
        }.items():
            self.assertEqual(app.environ[key], value, key)
        self.assertNotIn("HTTP_X_A", app.environ)

    def test_the_body_is_read_in_all_ways_of_a_file(self):
        pieces = [b"one\ntw", b"", b"o\n", b"x" * 100_000]

        def app(environ, start_response):
            body = environ["wsgi.input"]
            first, second = body.readline(), next(iter(body))
            rest = body.read(1), body.read(10), body.read()
            return text(start_response, repr((first, second, len(rest[1]), len(rest[2]), body.read())).encode())

        param, _ = ask(app, method=http.Method_Post(), pieces=pieces, is_validated=False)
        self.assertEqual(b"".join(param.pieces), b"(b'one\\n', b'two\\n', 10, 99989, b'')")

    def test_a_body_that_is_cut_is_an_error(self):
        def app(environ, start_response):
            return text(start_response, environ["wsgi.input"].read())

        param, error = ask(app, method=http.Method_Post(), pieces=[b"some"], is_cut=True, is_validated=False)
        self.assertEqual(param.status, 500)
        self.assertIn("sent less", error)

    def test_options_of_the_server_have_no_path(self):
        def app(environ, start_response):
            app.path = environ["PATH_INFO"]
            return text(start_response, b"")

        ask(app, method=http.Method_Other("OPTIONS"), target="*")
        self.assertEqual(app.path, "")


class Building(unittest.TestCase):
    def test_warming_asks_for_each_path_and_for_one_that_is_not_there(self):
        asked = []

        def app(environ, start_response):
            asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]))
            return text(start_response, b"x")

        handler(validator(app), warm=["/", "/a?b=c"])
        self.assertEqual(asked, [("GET", "/", ""), ("GET", "/a", "b=c"), ("GET", "/wasgun-warms-up", "")])

    def test_an_app_that_fails_ends_the_build(self):
        def app(environ, start_response):
            raise RuntimeError("asked to")

        self.assertRaisesRegex(RuntimeError, "asked to", handler, app)


if __name__ == "__main__":
    unittest.main()
