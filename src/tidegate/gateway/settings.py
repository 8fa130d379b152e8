"""What a gateway needs to know besides the snapshot: addresses, folders, limits. Read once."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.gateway.tls import Tls

_LONGEST_FOLDER_PATH = 65
_PLAIN = re.compile(r"/[A-Za-z0-9/._-]*")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where the proxy listens and what it may use. Times in seconds.

    `listen` is public; `management` has metrics, which ask for the token if there is one, and health.
    `state_directory` holds the generated configuration, sockets and pid file; a later control process with the same
    directory adopts the proxy. `haproxy` names the program; None looks for one (see `binary.find`). `threads` None
    lets HAProxy take one per core.
    `max_connections` is lowered at start to what the file-descriptor limit allows.

    tls: None for plain HTTP on the public address.

    header_timeout_s: for the whole request head; a client that drips its headers is cut off after it.
    body_timeout_s: for the whole body; counted before a slot is taken.
    idle_timeout_s: how long an idle client connection is kept, and how long an old worker may linger after a reload.
    client_timeout_s: for a client that stops reading its answer.
    handshake_timeout_s: for a TLS handshake; with TLS also the longest that a client may stall, if that is less.
    connections_per_s: new ones accepted in a second from all addresses; `connections_per_s_of_one` from one, over ten
        seconds. 0: no limit.
    stop_grace_s: for running requests when the proxy is told to end.
    retries: further tries after the first one, each on another replica where there is one; connections that were
        refused count, too: a replica that dies can break a request on each kept connection, and then refuse it.
    resends: how often a large request that a replica broke is sent again; refused connections do not count here.
    small_body_bytes: bodies up to this stay in the main proxy; `lane_bytes` are the sizes of the lanes between it and
        the largest body any service takes (see `lanes`). A body above `largest_held_bytes` is passed on while it
        arrives: its slot is taken from the beginning, and it cannot be sent again.
    lane_memory_bytes: for the bodies in all lanes together; lowered at start to half of the machine's memory. Large
        requests beyond that wait before a lane, in small buffers.
    """

    state_directory: Path
    listen_address: str = "0.0.0.0"
    listen_port: int = 8000
    management_address: str = "127.0.0.1"
    management_port: int = 8001
    management_token: str = field(default="", repr=False)
    tls: Tls | None = None
    haproxy: Path | None = None
    threads: int | None = None
    max_connections: int = 20_000
    header_timeout_s: float = 10.0
    body_timeout_s: float = 120.0
    idle_timeout_s: float = 30.0
    client_timeout_s: float = 60.0
    handshake_timeout_s: float = 30.0
    connections_per_s: int = 0
    connections_per_s_of_one: int = 0
    connect_timeout_s: float = 2.0
    stop_grace_s: float = 30.0
    retries: int = 6
    resends: int = 2
    small_body_bytes: int = 208 * 1024
    largest_held_bytes: int = 64 * 2**20
    lane_memory_bytes: int = 2 * 2**30
    lane_bytes: tuple[int, ...] = (4 * 2**20,)

    def lane_folder(self, size: int) -> Path:
        """The folder of the lane for bodies up to `size` bytes."""
        return self.state_directory / f"lane-{size}"

    def socket(self, name: str) -> Path:
        """Where the socket of that name is; the same for every driver of this state directory."""
        return self.socket_folder / f"{name}.sock"

    @property
    def socket_folder(self) -> Path:
        """The state directory, or a short stand-in below /tmp when its path is too long or too odd for a socket's.

        A socket's path may be 107 bytes long; "/lane-16777216-master.sock.1234567.tmp" is made below this folder.
        """
        folder = str(self.state_directory)
        if len(folder) <= _LONGEST_FOLDER_PATH and _PLAIN.fullmatch(folder):
            return self.state_directory
        digest = hashlib.blake2b(folder.encode(), digest_size=8).hexdigest()
        return Path("/tmp") / f"tidegate-{os.getuid()}-{digest}"

    @property
    def log_pipe(self) -> Path:
        return self.state_directory / "requests.pipe"

    @property
    def url(self) -> str:
        """The base URL at which clients reach the gateway."""
        host = "127.0.0.1" if self.listen_address in ("0.0.0.0", "*", "::") else self.listen_address
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.listen_port}"

    @property
    def internal_url(self) -> str:
        """The base URL at which services on this machine reach each other through the gateway, always plain HTTP."""
        return self.url if self.tls is None else f"http://127.0.0.1:{self.tls.internal_port}"
