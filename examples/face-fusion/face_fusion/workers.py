"""The threads that do the work, so that the event loop stays free to answer health checks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2

from face_fusion.errors import Busy
from face_fusion.fusion import Fused, Fuser, Options

PORTRAITS = Path(__file__).parent / "portraits"


class Workers:
    """A fixed number of threads, each with its own networks, and a bounded number of waiting requests."""

    def __init__(self, *, threads: int, opencv_threads: int, max_pixels: int, max_waiting: int) -> None:
        self._threads, self._opencv_threads, self._max_pixels = threads, opencv_threads, max_pixels
        self._most = threads + max_waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fuse")
        self._own = threading.local()
        self._inside = 0
        self.ready = False

    async def start(self) -> None:
        """Load the networks in every thread and fuse once in each, so that the first request is not a slow one."""
        cv2.setNumThreads(self._opencv_threads)  # for the whole process
        together = threading.Barrier(self._threads)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._pool, self._warm, together) for _ in range(self._threads)))
        self.ready = True

    async def fuse(self, template: bytes, user: bytes, options: Options) -> Fused:
        """One fusion in a thread of the pool; Busy when too many wait already."""
        if self._inside >= self._most:
            raise Busy("busy", f"{self._inside} requests are being worked on or waiting; ask again in a moment")
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._fuse, template, user, options)
        finally:
            self._inside -= 1

    def stop(self) -> None:
        """Let the threads finish what they have and end."""
        self.ready = False
        self._pool.shutdown(wait=True)

    def _fuse(self, template: bytes, user: bytes, options: Options) -> Fused:
        if not hasattr(self._own, "fuser"):
            self._own.fuser = Fuser(self._max_pixels)
        return self._own.fuser.fuse(template, user, options)

    def _warm(self, together: threading.Barrier) -> None:
        together.wait()  # each thread takes exactly one of the calls
        self._fuse((PORTRAITS / "astronaut.jpg").read_bytes(), (PORTRAITS / "hopper.jpg").read_bytes(), Options())
