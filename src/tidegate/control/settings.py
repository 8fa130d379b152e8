"""Everything that is set from outside, read once at start."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tidegate.base.errors import ControlError

DEFAULT_STATE = ".tidegate"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the running system lives and listens.

    `state` is the folder of everything that must survive; relative paths are of the current directory. `host` and
    `port` are the gateway's. Management is `page_port`, status page and control API, and `metrics_port`, the proxy's
    own metrics, both on `management_host`. All addresses are loopback unless told otherwise. `tick_s` is the longest
    time between two looks; events bring the next look forward. `token` opens management beyond loopback; without one
    it is kept in the state folder (see `control.token`). `database` is an SQLAlchemy URL, empty for SQLite in the
    state folder. `faults` is a file of faults of clusters to try out (see `runtimes.faulty`).

    `tls_cert` and `tls_key` are PEM files, the first key for the first certificate, and so on; without keys, each
    certificate's file holds its own. With a certificate the gateway speaks only TLS, `redirect_port` sends plain HTTP
    there, and services of this machine call each other at `internal_port` on loopback. `tls_client_ca` lets only
    clients in whose certificate it has signed.

    `max_connections` is lowered to what descriptors and memory allow (see `gateway.process`).
    `connection_rate` and `address_connection_rate` are new connections a second that the gateway accepts, from all and
    from one address; 0: no limit.
    """

    state: Path = Path(DEFAULT_STATE)
    host: str = "127.0.0.1"
    port: int = 8080
    management_host: str = "127.0.0.1"
    page_port: int = 8081
    metrics_port: int = 8082
    tick_s: float = 0.5
    token: str = ""
    database: str = ""
    drain_s: float = 60.0
    faults: Path | None = None
    tls_cert: tuple[Path, ...] = ()
    tls_key: tuple[Path, ...] = ()
    tls_client_ca: Path | None = None
    redirect_port: int | None = None
    max_connections: int = 20_000
    connection_rate: int = 0
    address_connection_rate: int = 0
    internal_port: int = 8083

    @property
    def socket(self) -> Path:
        """The control API's unix socket."""
        return self.state / "control.sock"

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.state / 'journal.db'}"

    @staticmethod
    def from_env(env: Mapping[str, str], **given: Any) -> Settings:
        """Settings from TIDEGATE_* variables, overridden by what is `given` (None: not given).

        Raises:
            ControlError: a variable has no usable value.
        """
        values: dict[str, Any] = {}
        for name, read in _READERS.items():
            text = env.get(f"TIDEGATE_{_VARIABLES.get(name, name).upper()}")
            if text:
                values[name] = _read(name, text, read)
        values |= {k: v for k, v in given.items() if v is not None and v != ()}
        settings = Settings(**values)
        return replace(settings, state=settings.state.expanduser().resolve())


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(os.pathsep))


def _connections(text: str) -> int:
    count = int(text)
    if not 50 <= count <= 10_000_000:
        raise ValueError
    return count


def _rate(text: str) -> int:
    rate = int(text)
    if not 0 <= rate <= 1_000_000:
        raise ValueError
    return rate


_READERS: dict[str, Callable[[str], object]] = {
    "state": Path,
    "host": str,
    "port": int,
    "management_host": str,
    "page_port": int,
    "metrics_port": int,
    "token": str,
    "database": str,
    "faults": Path,
    "tls_cert": _paths,
    "tls_key": _paths,
    "tls_client_ca": Path,
    "redirect_port": int,
    "max_connections": _connections,
    "connection_rate": _rate,
    "address_connection_rate": _rate,
    "internal_port": int,
}
_VARIABLES = {"state": "home"}


def _read(name: str, text: str, read: Callable[[str], object]) -> object:
    try:
        return read(text)
    except ValueError:
        variable = f"TIDEGATE_{_VARIABLES.get(name, name).upper()}"
        raise ControlError(f"{variable} is {text!r}, expected a number. Correct or unset it.") from None
