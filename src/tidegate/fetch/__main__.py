"""`python -m tidegate.fetch RULES SOCKET`: answers on the socket, under the rules in the file, until told to end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn

from tidegate.fetch.app import build_app
from tidegate.fetch.fetcher import Fetcher
from tidegate.fetch.rules import RuleBook

# Names are looked up in threads. One whose server does not answer holds its thread beyond the time of the fetch.
_LOOKUPS = 128


async def main(rules: Path, path: Path) -> None:
    """Serve; the socket is its owner's alone."""
    os.umask(0o177)
    path.unlink(missing_ok=True)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUPS, "lookup"))
    app = build_app(RuleBook(rules), Fetcher())
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        await uvicorn.Server(config).serve([door])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
