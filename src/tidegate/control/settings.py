"""Everything that is set from outside, read once at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tidegate.base.errors import ControlError

DEFAULT_STATE = ".tidegate"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the running system lives and listens.

    `state` is the folder of everything that must survive; relative paths are of the current directory. `port` is the
    gateway's, `page_port` the status page's (both on `host`, loopback unless
    told otherwise), `metrics_port` that of the proxy's own metrics, always on loopback. `tick_s` is the longest
    time between two looks; events bring the next look forward. `token` lets readers beyond loopback in; without one
    the page listens on loopback only. `database` is an SQLAlchemy URL, empty for SQLite in the state folder.
    """

    state: Path = Path(DEFAULT_STATE)
    host: str = "127.0.0.1"
    port: int = 8080
    page_port: int = 8081
    metrics_port: int = 8082
    tick_s: float = 0.5
    token: str = ""
    database: str = ""
    drain_s: float = 60.0

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
        values |= {k: v for k, v in given.items() if v is not None}
        settings = Settings(**values)
        return replace(settings, state=settings.state.expanduser().resolve())


_READERS = {
    "state": Path,
    "host": str,
    "port": int,
    "page_port": int,
    "metrics_port": int,
    "token": str,
    "database": str,
}
_VARIABLES = {"state": "home"}


def _read(name: str, text: str, read: type) -> object:
    try:
        return read(text)
    except ValueError:
        variable = f"TIDEGATE_{_VARIABLES.get(name, name).upper()}"
        raise ControlError(f"{variable} is {text!r}, expected a {read.__name__}. Correct or unset it.") from None
