"""An ordinary FastAPI app: `uvicorn app:app` serves it as it is."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel

app = FastAPI()


class Numbers(BaseModel):
    numbers: list[int]


class Sum(BaseModel):
    sum: int


@app.get("/", response_class=PlainTextResponse)
async def hello():
    return "Hello from FastAPI!\n"


@app.post("/echo")
async def echo(request: Request):
    # As it comes.
    return StreamingResponse(request.stream(), media_type=request.headers.get("content-type"))


@app.get("/headers")
async def headers(request: Request):
    response = Response(headers={"x-answer": request.headers.get("x-question", "")})
    response.headers.append("set-cookie", "a=1")
    response.headers.append("set-cookie", "b=2")
    return response


@app.get("/query", response_class=PlainTextResponse)
async def query(name: str = "world"):
    return f"Hello, {name}!\n"


@app.post("/json")
async def json(body: Numbers) -> Sum:
    return Sum(sum=sum(body.numbers))


@app.get("/error")
def error():
    raise RuntimeError("asked to")
