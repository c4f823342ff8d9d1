import asyncio


class exports:
    class Handler:
        pass


class ByteStream:
    """Both ends of a stream of bytes; `takes` bytes go through it, and then its reader is gone."""

    takes = None

    def __init__(self):
        self.pieces, self.is_closed, self.reader_dropped = [], False, False

    async def write_all(self, data):
        await asyncio.sleep(0)
        if ByteStream.takes is not None and sum(map(len, self.pieces)) >= ByteStream.takes:
            self.reader_dropped = True
            return 0
        self.pieces.append(data)
        return len(data)

    def __exit__(self, *exc_info):
        self.is_closed = True


def byte_stream():
    stream = ByteStream()
    return stream, stream


class Future:
    def __init__(self, default):
        self.value, self._default = None, default

    async def write(self, value):
        assert self.value is None
        self.value = value

    async def read(self):
        return self.value

    def __exit__(self, *exc_info):
        if self.value is None:
            self.value = self._default()


def result_unit_wasi_http_types_error_code_future(default):
    future = Future(default)
    return future, future


def result_option_wasi_http_types_fields_wasi_http_types_error_code_future(default):
    future = Future(default)
    return future, future
