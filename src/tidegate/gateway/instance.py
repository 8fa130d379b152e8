"""One HAProxy with its folder: started, adopted, given new files, ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tidegate.base.errors import GatewayError
from tidegate.gateway.binary import Binary
from tidegate.gateway.master import MasterSocket
from tidegate.gateway.process import ProxyProcess
from tidegate.gateway.text import Rendered


class Instance:
    """A master process that follows the files it is given. `shape` is that of the worker that accepts connections."""

    def __init__(self, folder: Path, master_socket: Path, pipe: Path, find: Callable[[], Binary]) -> None:
        self.folder = folder
        self.process = ProxyProcess(folder, master_socket, pipe)
        self.master = MasterSocket(self.process.master_socket)
        self.shape = ""
        self.restarts = 0
        self._find = find

    def pid(self) -> int | None:
        return self.process.pid()

    async def adopt(self) -> bool:
        """Take over a running one that answers; one that does not is ended. False when there is none now."""
        if self.pid() is None:
            return False
        try:
            workers = await self.master.workers()
            if workers.current is None:
                raise GatewayError("the proxy has no worker")
            said = await self.master.worker(workers.current, "show env TIDEGATE_SHAPE")
        except GatewayError:
            await self.process.stop(0.0)
            return False
        self.shape = said.strip().removeprefix("TIDEGATE_SHAPE=")
        return True

    async def revive(self) -> bool:
        """Start it from the files it has if it has ended; True when that was needed."""
        if self.pid() is not None:
            return False
        await self._launch()
        self.restarts += 1
        return True

    async def follow(self, rendered: Rendered) -> bool:
        """Have these files in force: start it, reload it when the shape differs, or only keep them for the next start.

        Returns whether a new worker accepts connections now.

        Raises:
            GatewayError: the files were refused; what it had stays in force.
        """
        if self.pid() is None:
            self._write(rendered)
            await self._launch()
        elif rendered.shape != self.shape:
            await self._reload(rendered)
        else:
            self._write(rendered)
            return False
        self.shape = rendered.shape
        return True

    async def _launch(self) -> None:
        await self.process.launch(self._find())
        await self.master.ready()

    async def _reload(self, rendered: Rendered) -> None:
        before = {name: _read(self.folder / name) for name in rendered.files}
        self._write(rendered)
        try:
            await self.master.reload()
        except GatewayError:
            for name, text in before.items():
                if text is not None:
                    write_whole(self.folder / name, text)
            raise

    def _write(self, rendered: Rendered) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in rendered.files.items():
            path = self.folder / name
            if _read(path) != text:
                write_whole(path, text)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all: a proxy that starts in between reads the old file or the new one."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text)
    draft.chmod(0o600)
    draft.replace(path)
