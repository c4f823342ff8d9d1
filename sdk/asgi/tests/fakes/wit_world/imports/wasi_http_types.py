"""A host with one request, which notes what becomes of it."""

from componentize_py_types import Err, Ok

from wit_world import Future


class Method_Get: ...
class Method_Head: ...
class Method_Post: ...
class Scheme_Http: ...
class Scheme_Https: ...


class Method_Other:
    def __init__(self, value):
        self.value = value


class ErrorCode_InternalError:
    def __init__(self, value):
        self.value = value


class Fields:
    def __init__(self, entries=()):
        self._entries = list(entries)

    @classmethod
    def from_list(cls, entries):
        if any(b"\n" in value for _, value in entries):
            raise Err("HeaderError.InvalidSyntax")
        return cls(entries)

    def copy_all(self):
        return self._entries

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass


class Body:
    """What a client sends, in pieces."""

    def __init__(self, pieces):
        self._pieces, self.writer_dropped = list(pieces), False

    async def read(self, most):
        if self._pieces:
            return self._pieces.pop(0)
        self.writer_dropped = True
        return b""


class Request:
    def __init__(self, method=None, target="/", fields=(), pieces=(), is_cut=False, scheme=None):
        self._method, self._target, self._scheme = method or Method_Get(), target, scheme or Scheme_Http()
        self._fields, self._pieces, self._is_cut = fields, pieces, is_cut

    def get_method(self):
        return self._method

    def get_path_with_query(self):
        return self._target

    def get_scheme(self):
        return self._scheme

    def get_authority(self):
        return "example.com:8000"

    def get_headers(self):
        return Fields(self._fields)

    @classmethod
    def consume_body(cls, request, handled):
        trailers = Future(None)
        trailers.value = Err("ErrorCode.HttpProtocolError") if request._is_cut else Ok(None)
        return Body(request._pieces), trailers


class Response:
    def __init__(self, fields, body, trailers):
        self.fields, self.body, self.trailers, self.status = fields.copy_all(), body, trailers, 200

    @classmethod
    def new(cls, fields, body, trailers):
        sent = Future(lambda: Ok(None))
        return cls(fields, body, trailers), sent

    def set_status_code(self, status):
        if not 100 <= status <= 999:
            raise Err(None)
        self.status = status

    @property
    def is_whole(self):
        assert self.body.is_closed
        return isinstance(self.trailers.value, Ok)
