"""What becomes of requests, against a host that is a fake."""

import asyncio
import contextlib
import io
import unittest
from unittest import mock

import wit_world
from componentize_py_async_support import run
from wit_world.imports import monotonic_clock
from wit_world.imports import wasi_http_types as http

from wasgun_asgi import handler


def ask(app, takes=None, **request):
    """Has `app` answer a request; the response, and what went to stderr."""
    # What happens while a component is built is another test's.
    with (
        mock.patch("wasgun_asgi._warm", new=lambda app, target: asyncio.sleep(0)),
        mock.patch.object(wit_world.ByteStream, "takes", takes),
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        response = run(handler(app)().handle(http.Request(**request)))
    return response, stderr.getvalue()


def http_only(app):
    """An application that does not know the lifespan protocol."""

    async def wrapped(scope, receive, send):
        assert scope["type"] == "http"
        await app(scope, receive, send)

    return wrapped


async def text(send, *pieces, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    for at, piece in enumerate(pieces):
        await send({"type": "http.response.body", "body": piece, "more_body": at + 1 < len(pieces)})


class Responses(unittest.TestCase):
    def test_a_whole_one_has_a_length(self):
        @http_only
        async def app(scope, receive, send):
            await text(send, b"hello", headers=[(b"Content-Type", b"text/plain")])

        response, error = ask(app)
        self.assertEqual((response.status, response.body.pieces, response.is_whole, error), (200, [b"hello"], True, ""))
        self.assertEqual(response.fields, [("content-type", b"text/plain"), ("content-length", b"5")])

    def test_pieces_go_one_by_one(self):
        @http_only
        async def app(scope, receive, send):
            await text(send, b"a", b"", b"b", status=201)

        response, _ = ask(app)
        self.assertEqual((response.status, response.body.pieces, response.fields), (201, [b"a", b"b"], []))

    def test_a_head_has_no_body(self):
        @http_only
        async def app(scope, receive, send):
            await text(send, b"hello", headers=[(b"content-length", b"5")])

        response, _ = ask(app, method=http.Method_Head())
        self.assertEqual((response.fields, response.body.pieces), ([("content-length", b"5")], []))

    def test_work_goes_on_after_the_response(self):
        done = []

        @http_only
        async def app(scope, receive, send):
            await text(send, b"x")
            await asyncio.sleep(0.01)
            done.append(await receive())
            done.append(await receive())

        ask(app)
        self.assertEqual(done[1], {"type": "http.disconnect"})


class Failures(unittest.TestCase):
    def test_before_the_head_it_is_a_500(self):
        async def raises(scope, receive, send):
            raise RuntimeError("asked to")

        async def silent(scope, receive, send):
            pass

        async def refused(scope, receive, send):
            await text(send, b"x", headers=[(b"x", b"two\nlines")])

        async def no_status(scope, receive, send):
            await text(send, b"x", status=1000)

        async def websocket(scope, receive, send):
            await send({"type": "websocket.accept"})

        for app in (raises, silent, refused, no_status, websocket):
            response, error = ask(http_only(app))
            self.assertEqual((response.status, response.body.pieces), (500, [b"Internal Server Error\n"]), app)
            self.assertTrue(response.is_whole)
            self.assertIn("Traceback", error)

    def test_after_the_head_the_response_is_cut(self):
        @http_only
        async def app(scope, receive, send):
            await text(send, b"x", b"y", b"z")
            raise RuntimeError("after the end")

        response, error = ask(app)
        self.assertTrue(response.is_whole)
        self.assertIn("after the end", error)

        @http_only
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            raise RuntimeError("asked to")

        response, error = ask(app)
        self.assertEqual((response.status, response.body.pieces, response.is_whole), (200, [b"x"], False))
        self.assertIn("asked to", error)

    def test_a_client_that_is_gone_is_no_failure(self):
        @http_only
        async def app(scope, receive, send):
            await text(send, *[b"x" * 10] * 5)

        response, error = ask(app, takes=15)
        self.assertEqual((len(response.body.pieces), error), (2, ""))


class Requests(unittest.TestCase):
    def test_the_scope_is_complete(self):
        scopes = []

        @http_only
        async def app(scope, receive, send):
            scopes.append(scope)
            await text(send, b"")

        fields = [("x-twice", b"1"), ("x-twice", b"\xff"), ("x-forwarded-for", b"203.0.113.9")]
        ask(app, method=http.Method_Other("BREW"), target="/caf%C3%A9?q=%20", fields=fields, scheme=http.Scheme_Https())
        (scope,) = scopes
        for key, value in {
            "method": "BREW",
            "scheme": "https",
            "path": "/café",
            "raw_path": b"/caf%C3%A9",
            "query_string": b"q=%20",
            "server": ("example.com", 8000),
            "client": ("203.0.113.9", 0),
            "http_version": "1.1",
            "root_path": "",
        }.items():
            self.assertEqual(scope[key], value, key)
        wanted = [(b"host", b"example.com:8000"), *((name.encode(), value) for name, value in fields)]
        self.assertEqual(scope["headers"], wanted)

    def test_the_body_comes_in_pieces(self):
        messages = []

        @http_only
        async def app(scope, receive, send):
            while True:
                messages.append(await receive())
                if not messages[-1]["more_body"]:
                    break
            await text(send, b"")

        ask(app, method=http.Method_Post(), pieces=[b"one", b"two"])
        self.assertEqual([message["body"] for message in messages], [b"one", b"two", b""])

    def test_a_body_that_is_cut_is_a_disconnection(self):
        messages = []

        @http_only
        async def app(scope, receive, send):
            messages.extend([await receive(), await receive()])
            await text(send, b"")

        ask(app, method=http.Method_Post(), pieces=[b"some"], is_cut=True)
        self.assertEqual(messages[1], {"type": "http.disconnect"})


class Loop(unittest.TestCase):
    def test_timers_threads_and_timeouts(self):
        found = []

        @http_only
        async def app(scope, receive, send):
            with mock.patch("time.monotonic", side_effect=iter(range(1000)).__next__):
                await asyncio.sleep(3)
                try:
                    async with asyncio.timeout(5):
                        await asyncio.get_running_loop().create_future()
                except TimeoutError:
                    found.append("timeout")
                found.append(await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2]))
                await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
            await text(send, b"x")

        response, error = ask(app)
        self.assertEqual((response.status, found, error), (200, ["timeout", 3], ""))
        self.assertTrue(monotonic_clock.waited)

    def test_what_nobody_catches_is_told(self):
        @http_only
        async def app(scope, receive, send):
            asyncio.get_running_loop().call_exception_handler({"message": "never retrieved", "exception": ValueError("x")})
            await text(send, b"x")

        response, error = ask(app)
        self.assertEqual(response.status, 200)
        self.assertIn("never retrieved", error)


class Starting(unittest.TestCase):
    def test_an_instance_starts_up_once_and_its_state_is_shared(self):
        starts, states = [], []

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                self.assertEqual(await receive(), {"type": "lifespan.startup"})
                starts.append(1)
                scope["state"]["pool"] = "made"
                await send({"type": "lifespan.startup.complete"})
                await receive()
                self.fail("there is no shutdown")
            states.append(scope["state"]["pool"])
            await text(send, b"x")

        with mock.patch("wasgun_asgi._warm", new=lambda app, target: asyncio.sleep(0)):
            instance = handler(app)()
        for _ in range(2):
            run(instance.handle(http.Request()))
        self.assertEqual((starts, states), ([1], ["made", "made"]))

    def test_warming_asks_for_each_path_and_for_one_that_is_not_there(self):
        asked = []

        @http_only
        async def app(scope, receive, send):
            asked.append((scope["method"], scope["path"], scope["query_string"]))
            await text(send, b"x")

        handler(app, warm=["/", "/a?b=c"])
        self.assertEqual(asked, [("GET", "/", b""), ("GET", "/a", b"b=c"), ("GET", "/wasgun-warms-up", b"")])

    def test_an_app_that_fails_ends_the_build(self):
        async def app(scope, receive, send):
            raise RuntimeError("asked to")

        self.assertRaisesRegex(RuntimeError, "asked to", handler, app)


if __name__ == "__main__":
    unittest.main()
