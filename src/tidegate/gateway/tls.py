"""TLS in front: what a user gives, and the lines it becomes. Pure; reading the files is in `certificates`.

Versions and ciphers are Mozilla's "intermediate" (https://wiki.mozilla.org/Security/Server_Side_TLS) without the
finite-field exchanges, which need parameters of their own and serve no client that elliptic curves do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)
_SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
# A client may send this much of each body before it hears from us. The protocol's 64 KiB would make every picture
# wait for the network once more.
_UPLOAD_WINDOW_BYTES = 256 * 1024
CLIENTS_FILE = "client-ca.pem"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate with its chain, and its key; both PEM. The two may be the same file."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Tls:
    """What the public address needs to speak TLS.

    certificates: chosen by the name the client asks for; the first one serves clients that ask for none of theirs.
    client_ca: PEM of the authorities that sign clients; with it, a client without a certificate is not let in.
    redirect_port: a second port on the same address that sends plain HTTP here; None: there is none.
    internal_port: a plain port on loopback for services of this machine that call each other.
    """

    certificates: tuple[CertificateFiles, ...]
    client_ca: Path | None = None
    redirect_port: int | None = None
    internal_port: int = 8083


def file_name(position: int) -> str:
    """The file, below the proxy's own folder, that holds the certificate at this position and its key."""
    return f"certificate-{position}.pem"


def global_lines(tls: Tls | None) -> Iterator[str]:
    """For the `global` section."""
    if tls is not None:
        yield from cipher_lines("bind")
        yield f"tune.h2.fe.initial-window-size {_UPLOAD_WINDOW_BYTES}"


def cipher_lines(side: str) -> Iterator[str]:
    """Versions and ciphers for `bind` or `server` lines."""
    yield f"ssl-default-{side}-ciphers {_CIPHERS}"
    yield f"ssl-default-{side}-ciphersuites {_SUITES}"
    prefer = "prefer-client-ciphers " if side == "bind" else ""
    yield f"ssl-default-{side}-options {prefer}ssl-min-ver TLSv1.2 no-tls-tickets"


def management_options(tls: Tls | None, address: str) -> str:
    """What follows the management address: TLS when other machines can reach it and there is a certificate."""
    if tls is None or on_loopback(address):
        return ""
    return f" ssl crt {file_name(0)} alpn h2,http/1.1"


def bind_options(tls: Tls | None) -> str:
    """What follows the public address in its `bind` line."""
    if tls is None:
        return ""
    certificates = " ".join(f"crt {file_name(i)}" for i in range(len(tls.certificates)))
    clients = f" ca-file {CLIENTS_FILE} verify required" if tls.client_ca is not None else ""
    return f" ssl {certificates} alpn h2,http/1.1{clients}"


def on_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    return address in ("127.0.0.1", "::1", "localhost")


def redirect_lines(tls: Tls, address: str, port: int, guards: Iterable[str]) -> Iterator[str]:
    """The frontend that sends plain HTTP to the TLS port; 308 keeps method and body."""
    suffix = "" if port == 443 else f":{port}"
    yield f"bind {address}:{tls.redirect_port}"
    yield from guards
    yield "option httpclose"
    yield "no log"
    yield "http-request set-var(txn.rid) unique-id"
    yield "unique-id-format %[uuid()]"
    yield f"http-request redirect location https://%[req.hdr(host),host_only]{suffix}%[pathq] code 308"
