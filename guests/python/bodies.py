"""Bodies, as they come and go."""

from collections.abc import Iterator

from componentize_py_types import Err
from wit_world.imports.streams import OutputStream, StreamError_Closed
from wit_world.imports.wasi_http_types import IncomingRequest

READ = 64 * 1024
# The most that the host takes in one blocking call.
WRITE = 4096


class ClientGone(Exception):
    """Nobody takes any more of the response."""


def pieces(request: IncomingRequest) -> Iterator[bytes]:
    """The body of a request, piece by piece."""
    with request.consume() as body, body.stream() as stream:
        while True:
            try:
                yield stream.blocking_read(READ)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return
                raise ClientGone from error


def send(stream: OutputStream, data: bytes) -> None:
    """Sends a piece of a body, and has it delivered."""
    try:
        for at in range(0, len(data), WRITE):
            stream.blocking_write_and_flush(data[at : at + WRITE])
    except Err as error:
        raise ClientGone from error
