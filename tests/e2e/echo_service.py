"""A small real service for tests: answers with who it is; can be slow, can die in the middle, can fail.

GET /: {"replica", "pid", "version"}; ?sleep=S waits first, ?until=FILE until that is there. POST /: the length of the
body. GET /die ends the process.
START_S delays the port, FAIL_HEALTH=1 makes /healthz answer 500, ERRORS=0.05 makes that share of the other answers 500,
SLOWER_S adds seconds to each, WRONG=1 makes `verify.py` find a wrong answer. ECHO_FAULTS names a JSON file, read at
each request: by replica id {"times": how many times longer `sleep` is, "error": true for 500}.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

REPLICA = os.environ.get("TIDEGATE_REPLICA", "")


def fault() -> dict[str, object]:
    try:
        with open(os.environ["ECHO_FAULTS"], encoding="utf-8") as file:  # noqa: PTH123
            return json.load(file).get(REPLICA, {})
    except (KeyError, OSError, ValueError):
        return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(0)

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        got = len(self.rfile.read(length))
        self.answer(got)

    def answer(self, got: int) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        status = 200
        if url.path == "/healthz" and os.environ.get("FAIL_HEALTH"):
            status = 500
        if url.path == "/die":
            os.kill(os.getpid(), signal.SIGKILL)
        wrong = fault() if url.path != "/healthz" else {}
        if wrong.get("error") or (url.path != "/healthz" and random.random() < float(os.environ.get("ERRORS", "0"))):
            status = 500
        time.sleep(
            float(query.get("sleep", ["0"])[0]) * float(wrong.get("times", 1)) + float(os.environ.get("SLOWER_S", "0"))
        )
        while "until" in query and not os.path.exists(query["until"][0]):  # noqa: PTH110
            time.sleep(0.01)
        body = {"replica": REPLICA, "pid": os.getpid(), "version": os.environ.get("VERSION", "1"), "got": got}
        body |= {"wrong": bool(os.environ.get("WRONG"))}
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        print("served", self.path, flush=True)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    time.sleep(float(os.environ.get("START_S", "0")))
    server = Server((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print("serving", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
