"""`python -m speech_segments`: serve on HOST:PORT until SIGTERM, then finish what was begun."""

from __future__ import annotations

import signal
import sys

import uvicorn

from speech_segments import app, settings


def main() -> None:
    """Read the environment and serve; exit status 1 when the environment cannot be used."""
    try:
        chosen = settings.from_environment()
    except ValueError as error:
        sys.exit(f"speech_segments: {error}")
    # uvicorn raises the signal once more after it has shut down: to whoever started us, a stop we were asked for is a
    # good end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # On SIGTERM uvicorn stops accepting and waits for requests in flight as long as they take: how long that may be
    # is for whoever stops the process to say.
    uvicorn.run(
        app.create(chosen),
        host=chosen.host,
        port=chosen.port,
        log_level=chosen.log_level,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,  # longer than the idle time of the usual proxies, so that they close first
    )


if __name__ == "__main__":
    main()
