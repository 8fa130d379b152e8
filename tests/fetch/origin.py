"""Servers that give media, and those that give trouble."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Say = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class Origin:
    """Answers each request by `say(path, writer)`; `asked` keeps the heads of requests."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.asked: list[str] = []
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            await self.say(head.split()[1], writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has left, or the test is over
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
        server = await asyncio.start_server(self._serve, address, 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


def answer(status: int, body: bytes = b"", **headers: object) -> bytes:
    """An HTTP answer with its length, unless `content_length` says otherwise (None: without one)."""
    fields = {"content_length": len(body)} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
    return ("\r\n".join([f"HTTP/1.1 {status} X", *lines]) + "\r\n\r\n").encode() + body
