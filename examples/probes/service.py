"""A service that adds numbers, and can be told to misbehave: POST /leak?mib=N, /lie, /stall?s=N."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

kept: list[bytearray] = []
state = {"off_by": 0, "stall_s": 0.0}


class Sums(BaseHTTPRequestHandler):
    """GET /healthz is always well: it only says that the port answers."""

    def do_GET(self) -> None:
        self._answer(200, {"ok": True})

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        given = {name: float(values[0]) for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match url.path:
            case "/sum":
                time.sleep(state["stall_s"])
                self._answer(200, {"sum": sum(json.loads(body)) + state["off_by"]})
            case "/leak":
                kept.append(bytearray(b"x" * int(given.get("mib", 100) * 2**20)))
                self._answer(200, {"leaked": len(kept)})
            case "/lie":
                state["off_by"] = 1
                self._answer(200, {"lying": True})
            case "/stall":
                state["stall_s"] = given.get("s", 5.0)
                self._answer(200, {"stalling": True})
            case _:
                self._answer(404, {"error": {"code": "not_found", "message": "POST /sum with a list of numbers"}})

    def _answer(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing for every request."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    place = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000")))
    ThreadingHTTPServer(place, Sums).serve_forever()
