"""A host with one request, which notes what becomes of it."""

from componentize_py_types import Err, Ok

from .streams import StreamError_Closed, StreamError_LastOperationFailed


class Method_Get: ...
class Method_Head: ...
class Method_Post: ...
class Scheme_Http: ...
class Scheme_Https: ...


class Method_Other:
    def __init__(self, value):
        self.value = value


class Resource:
    """Knows whether it was dropped, and that its children have to be dropped before."""

    def __init__(self):
        self.is_dropped = False
        self.children = []

    def child(self, resource):
        self.children.append(resource)
        return resource

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        assert not self.is_dropped, f"{self} is dropped twice"
        assert all(child.is_dropped for child in self.children), f"{self} is dropped before its children"
        self.is_dropped = True


class Fields(Resource):
    def __init__(self, entries=()):
        super().__init__()
        self._entries = list(entries)

    @classmethod
    def from_list(cls, entries):
        if any(b"\n" in value for _, value in entries):
            raise Err("HeaderError.InvalidSyntax")
        return cls(entries)

    def entries(self):
        return self._entries


class IncomingRequest(Resource):
    def __init__(self, method=None, target="/", fields=(), pieces=(), is_cut=False, scheme=None):
        super().__init__()
        self._method, self._target, self._scheme = method or Method_Get(), target, scheme or Scheme_Http()
        self._fields, self._pieces, self._is_cut = fields, pieces, is_cut

    def method(self):
        return self._method

    def path_with_query(self):
        return self._target

    def scheme(self):
        return self._scheme

    def authority(self):
        return "example.com:8000"

    def headers(self):
        return self.child(Fields(self._fields))

    def consume(self):
        return self.child(IncomingBody(self._pieces, self._is_cut))


class IncomingBody(Resource):
    def __init__(self, pieces, is_cut):
        super().__init__()
        self._pieces, self._is_cut = pieces, is_cut

    def stream(self):
        return self.child(InputStream(self._pieces, self._is_cut))


class InputStream(Resource):
    def __init__(self, pieces, is_cut):
        super().__init__()
        self._pieces, self._is_cut = [bytes(piece) for piece in pieces], is_cut

    def blocking_read(self, most):
        if not self._pieces:
            raise Err(StreamError_LastOperationFailed() if self._is_cut else StreamError_Closed())
        piece = self._pieces.pop(0)
        if len(piece) > most:
            self._pieces.insert(0, piece[most:])
        return piece[:most]


class ResponseOutparam:
    """Notes the response: its head, the pieces that were delivered, and whether it was ended."""

    def __init__(self, takes=None):
        self.status = self.fields = self.is_finished = None
        self.pieces = []
        # So many bytes, and then the client is gone.
        self.takes = takes

    @classmethod
    def set(cls, param, response):
        assert param.status is None, "it is set once"
        assert isinstance(response, Ok)
        param.status, param.fields = response.value.status, response.value.fields.entries()
        response.value.taken.param = param


class OutgoingResponse(Resource):
    def __init__(self, fields):
        super().__init__()
        self.fields, self.status, self.taken = fields, 200, None

    def set_status_code(self, status):
        if not 100 <= status <= 999:
            raise Err(None)
        self.status = status

    def body(self):
        self.taken = OutgoingBody(self.fields)
        return self.taken


class OutgoingBody(Resource):
    def __init__(self, fields):
        super().__init__()
        self.param, self._fields = None, fields

    def write(self):
        return self.child(OutputStream(self))

    @classmethod
    def finish(cls, body, trailers):
        body.__exit__()
        sent = sum(map(len, body.param.pieces))
        announced = dict(body._fields.entries()).get("content-length")
        if announced is not None and int(announced) != sent:
            raise Err("ErrorCode.HttpResponseBodySize")
        body.param.is_finished = True


class OutputStream(Resource):
    def __init__(self, body):
        super().__init__()
        self._body, self._written = body, b""

    def _room(self):
        takes = self._body.param.takes
        if takes is not None and sum(map(len, self._body.param.pieces)) >= takes:
            raise Err(StreamError_Closed())

    def blocking_write_and_flush(self, data):
        assert len(data) <= 4096
        self._room()
        self._body.param.pieces.append(bytes(data))

    def check_write(self):
        self._room()
        return 5000

    def write(self, data):
        assert len(data) <= 5000
        self._written += data

    def blocking_flush(self):
        self._body.param.pieces.append(self._written)
        self._written = b""
