"""An ordinary Starlette app: `uvicorn app:app` serves it as it is."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route


async def hello(request: Request) -> Response:
    return PlainTextResponse("Hello from Starlette!\n")


async def echo(request: Request) -> Response:
    # As it comes.
    return StreamingResponse(request.stream(), media_type=request.headers.get("content-type"))


async def headers(request: Request) -> Response:
    response = Response(headers={"x-answer": request.headers.get("x-question", "")})
    response.headers.append("set-cookie", "a=1")
    response.headers.append("set-cookie", "b=2")
    return response


async def query(request: Request) -> Response:
    return PlainTextResponse(f"Hello, {request.query_params.get('name', 'world')}!\n")


async def json(request: Request) -> Response:
    try:
        return JSONResponse({"sum": sum((await request.json())["numbers"])})
    except (ValueError, KeyError, TypeError):
        return PlainTextResponse("numbers is to be a list of numbers\n", 400)


async def error(request: Request) -> Response:
    raise RuntimeError("asked to")


app = Starlette(
    routes=[
        Route("/", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/headers", headers),
        Route("/query", query),
        Route("/json", json, methods=["POST"]),
        Route("/error", error),
    ]
)
