"""An ordinary Flask app: `gunicorn app:app` serves it as it is."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello, world!\n", {"Content-Type": "text/plain"}
