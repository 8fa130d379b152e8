"""What the proxy's sockets print, read into values. Pure.

Sources: the CSV columns of `show stat` and the lines of `show proc` as HAProxy's management guide describes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tidegate.gateway.names import STAND_IN


@dataclass(frozen=True, slots=True)
class ServerRow:
    """A server as one worker has it. `number` is its id; `closed` when it is drained or in maintenance.

    `connect_s` is how long the last look took to connect to it; None: not known.
    """

    name: str
    number: int
    address: str
    slots: int
    weight: int
    closed: bool
    maintenance: bool
    up: bool
    in_flight: int
    connect_s: float | None = None


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A pool as one worker has it.

    `inside` requests wait or are on a replica now, `arrivals` came since the worker started.
    """

    inside: int = 0
    arrivals: int = 0
    balance: str = ""
    servers: dict[str, ServerRow] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        return sum(s.in_flight for s in self.servers.values())


@dataclass(frozen=True, slots=True)
class Workers:
    """Process ids: the worker that accepts connections, and old ones that finish their requests."""

    current: int | None
    old: tuple[int, ...] = ()


def read_workers(text: str) -> Workers:
    """Read `show proc` of the master."""
    current: int | None = None
    old: list[int] = []
    section = ""
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.strip("# ")
            continue
        words = line.split()
        if len(words) < 2 or words[1] != "worker":
            continue
        if section.startswith("old"):
            old.append(int(words[0]))
        elif current is None:
            current = int(words[0])
    return Workers(current, tuple(old))


def read_stat(text: str) -> dict[str, BackendRow]:
    """Read `show stat`: the backends that stand for pools (a dot in the name), with their servers.

    Requests for which its pool stands in for a canary are inside the pool, not inside the canary.
    """
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("# pxname")), None)
    if start is None:
        return {}
    column = {name: i for i, name in enumerate(lines[start][2:].split(","))}
    servers: dict[str, dict[str, ServerRow]] = {}
    totals: dict[str, tuple[int, int, str]] = {}
    elsewhere: dict[str, int] = {}
    for line in lines[start + 1 :]:
        cells = line.split(",")
        if len(cells) < len(column) - 1 or "." not in cells[0]:
            continue
        if cells[1] == "BACKEND":
            totals[cells[0]] = (int(cells[column["scur"]]), int(cells[column["stot"]]), cells[column["algo"]])
        elif cells[1] == STAND_IN:
            elsewhere[cells[0]] = int(cells[column["scur"]])
        elif cells[1] != "FRONTEND":
            servers.setdefault(cells[0], {})[cells[1]] = _server(cells, column)
    return {
        name: BackendRow(max(0, inside - elsewhere.get(name, 0)), arrivals, algorithm, servers.get(name, {}))
        for name, (inside, arrivals, algorithm) in totals.items()
    }


def read_turned_away(text: str) -> int:
    """Read `show stat`: connections that frontends closed before a request, since the worker started."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("# pxname")), None)
    if start is None:
        return 0
    place = lines[start].split(",").index("dcon")
    rows = (line.split(",") for line in lines[start + 1 :])
    return sum(int(cells[place] or 0) for cells in rows if len(cells) > place and cells[1] == "FRONTEND")


def _server(cells: list[str], column: dict[str, int]) -> ServerRow:
    status = cells[column["status"]]
    maintenance = status.startswith("MAINT")
    return ServerRow(
        name=cells[1],
        number=int(cells[column["sid"]]),
        address=cells[column["addr"]],
        slots=int(cells[column["slim"]] or 0),
        weight=int(cells[column["uweight"]] or 0),
        closed=maintenance or "DRAIN" in status,
        maintenance=maintenance,
        up=status.startswith(("UP", "no check")),
        in_flight=int(cells[column["scur"]]),
        connect_s=_connect_s(cells, column),
    )


def _connect_s(cells: list[str], column: dict[str, int]) -> float | None:
    """The duration of the last TCP check that passed; the proxy tells it in whole milliseconds."""
    known = cells[column["check_duration"]] if cells[column["check_status"]] == "L4OK" else ""
    return int(known) / 1000 if known else None


def read_table(text: str) -> dict[str, int]:
    """Read `show table` of tenants: how many requests each has in progress."""
    rows = (dict(c.split("=", 1) for c in line.split() if "=" in c) for line in text.splitlines())
    return {row["key"]: int(row["conn_cur"]) for row in rows if "key" in row and "conn_cur" in row}


def read_info(text: str) -> dict[str, str]:
    """Read `show info`."""
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
