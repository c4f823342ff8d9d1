# gunicorn beside wasgun: as many workers, connections kept as long.
import os

HERE = os.environ["ENDURANCE_DIR"]

bind = ["127.0.0.1:0", "unix:" + HERE + "/socket"]
pidfile = HERE + "/pid"
worker_class = "gthread"
workers = 4
threads = 8
keepalive = 75
timeout = int(open(HERE + "/timeout").read())


def post_worker_init(worker):
    with open(HERE + "/ready", "a") as ready:
        ready.write(f"{worker.pid}\n")


def pre_request(worker, req):
    # What --max-requests does, to the worker and at the moment that the test chooses.
    if worker.nr % 16 == 0 and os.path.exists(f"{HERE}/recycle.{worker.pid}"):
        worker.max_requests = worker.nr + 1
