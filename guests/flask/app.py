"""An ordinary Flask app: `gunicorn app:app` serves it as it is."""

from flask import Flask, Response, jsonify, request, stream_with_context

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello from Flask!\n", {"Content-Type": "text/plain; charset=utf-8"}


@app.post("/echo")
def echo():
    pieces = iter(lambda: request.stream.read1(64 * 1024), b"")
    return Response(stream_with_context(pieces), content_type=request.content_type)


@app.get("/headers")
def headers():
    response = Response()
    response.headers["X-Answer"] = request.headers.get("X-Question", "")
    response.set_cookie("a", "1", path=None)
    response.set_cookie("b", "2", path=None)
    return response


@app.get("/query")
def query():
    name = request.args.get("name", "world")
    return f"Hello, {name}!\n", {"Content-Type": "text/plain; charset=utf-8"}


@app.post("/json")
def json():
    try:
        total = sum(request.get_json()["numbers"])
    except (KeyError, TypeError):
        return "numbers is to be a list of numbers\n", 400
    return jsonify(sum=total)


@app.get("/error")
def error():
    raise RuntimeError("asked to")
