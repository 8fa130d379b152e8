"""A made-up running system behind a real socket, for tests of the command line."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from tidegate.cli.app import build_app
from tidegate.web.server import Listen, serving
from web.world import FakeControl

START_WITHIN_S = 120


def run(*arguments: str, input: str | None = None) -> Result:
    """One command in this process."""
    return CliRunner().invoke(build_app(), list(arguments), input=input, prog_name="tidegate")


@contextmanager
def running(control: FakeControl) -> Iterator[Path]:
    """Serve `control` on a socket; gives the state directory. It ends when told `down`, as the real one does."""
    # Not pytest's tmp_path: its names grow longer than a socket's path may be.
    with tempfile.TemporaryDirectory(prefix="tg") as state:
        started, over = threading.Event(), threading.Event()

        async def serve() -> None:
            control.loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
            async with serving(control, Listen(socket_path=Path(state, "control.sock"), port=None)):
                started.set()
                while not over.is_set() and ("down",) not in control.told:
                    await asyncio.sleep(0.01)

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        try:
            assert started.wait(START_WITHIN_S)
            yield Path(state)
        finally:
            over.set()
            thread.join(START_WITHIN_S)
