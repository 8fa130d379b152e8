"""A service that does not hear SIGTERM."""

import http.server
import os
import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
