"""`python -m tidegate.fetch RULES SOCKET`: answers on the socket, under the rules in the file, until told to end."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import uvicorn

from tidegate.fetch.app import build_app
from tidegate.fetch.fetcher import Fetcher
from tidegate.fetch.rules import RuleBook


def main(rules: Path, path: Path) -> None:
    """Serve; the socket is its owner's alone."""
    os.umask(0o177)
    path.unlink(missing_ok=True)
    app = build_app(RuleBook(rules), Fetcher())
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        uvicorn.Server(config).run([door])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
