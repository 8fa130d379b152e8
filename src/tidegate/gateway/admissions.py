"""Keeps a worker's maps of tenants and keys as they should be, over its socket and without a reload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tidegate.base.errors import GatewayError
from tidegate.gateway.access import LOOSE_MAPS, access_maps, map_text
from tidegate.gateway.instance import write_whole
from tidegate.gateway.master import MasterSocket
from tidegate.model.admission import Admission

_NOT_USED = "Unknown map identifier"


class Admissions:
    """`wanted` is what shall be in force. The files come first, so a proxy that is started again has it, too."""

    def __init__(self, folder: Path) -> None:
        self.wanted = Admission()
        self._folder = folder
        # What the accepting worker has; a map that is not here is unknown, and replaced as a whole.
        self._told: dict[str, dict[str, str]] = {}

    def write(self) -> None:
        """Put the maps into the proxy's folder."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, entries in access_maps(self.wanted).items():
            write_whole(self._folder / name, map_text(entries))

    def launched(self) -> None:
        """The proxy has just been started or reloaded, so it has what lies in its folder."""
        self._told = access_maps(self.wanted)

    async def follow(self, master: MasterSocket, worker: int) -> None:
        """Tell the worker what it lacks.

        Raises:
            GatewayError: it refused; the next call tries again.
        """
        wanted = access_maps(self.wanted)
        for name in LOOSE_MAPS:
            if self._told.get(name) == wanted[name]:
                continue
            known = self._told.pop(name, None)
            if known is None:
                await _replace(master, worker, name, wanted[name])
            else:
                _check(await master.tell(worker, differences(name, known, wanted[name])))
            self._told[name] = wanted[name]


def differences(name: str, known: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[str]:
    """The commands from one state of a map to another; what goes, goes first."""
    for key in sorted(known.keys() - wanted.keys()):
        yield f"del map {name} {key}"
    for key, value in sorted(wanted.items()):
        if key not in known:
            yield f"add map {name} {key} {value}"
        elif known[key] != value:
            yield f"set map {name} {key} {value}"


async def _replace(master: MasterSocket, worker: int, name: str, entries: Mapping[str, str]) -> None:
    """All of a map at once: requests see the old one or the new one."""
    said = await master.worker(worker, f"prepare map {name}")
    if _NOT_USED in said:
        return
    _, found, version = said.strip().partition("New version created: ")
    if not found:
        raise GatewayError(f"the proxy refused: {said.strip()}")
    _check(await master.tell(worker, (f"add map @{version} {name} {k} {v}" for k, v in sorted(entries.items()))))
    _check(await master.tell(worker, (f"commit map @{version} {name}",)))


def _check(answers: tuple[str, ...]) -> None:
    faults = [a for a in answers if _NOT_USED not in a]
    if faults:
        raise GatewayError("the proxy refused: " + "; ".join(faults[:5]))
