# Answers as guests/probe does to what is asked here.
import json
import os
import time


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    status, body = "200 OK", "not found\n"
    if path == "/hello":
        body = "Hello, world!\n"
    elif path == "/sleep":
        ms = int(query.removeprefix("ms="))
        time.sleep(ms / 1000)
        body = f"slept {ms} ms\n"
    elif path == "/inspect":
        headers = [["x-request-id", f"0-{os.getpid()}-0"]]
        body = json.dumps({"path_with_query": f"{path}?{query}", "headers": headers})
    else:
        status = "404 Not Found"
    body = body.encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
