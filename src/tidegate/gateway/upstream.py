"""TLS to replicas: what a `tls:` becomes in the proxy's files. Pure.

A server that is added at run time can only use certificates the proxy has loaded already. So a backend to which no
request is ever sent, `trusted`, names them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tidegate.gateway.tls import CertificateFiles, cipher_lines
from tidegate.model.snapshot import Snapshot
from tidegate.spec.tls import ReplicaTls

TRUSTED = "trusted"
_SYSTEM = "@system-ca"


def server_options(tls: ReplicaTls | None) -> str:
    """What follows in a server's line; health checks go over TLS as well."""
    if tls is None:
        return ""
    trust = f"verify required ca-file {_authority(tls) or _SYSTEM}" if tls.verify else "verify none"
    shown = f" crt {_own(tls)}" if tls.certificate is not None else ""
    name = tls.serverName
    asked = f" sni str({name}) check-sni {name}" if name is not None else ""
    return f" ssl {trust}{shown}{asked}{f' verifyhost {name}' if name is not None and tls.verify else ''}"


def global_lines(snapshot: Snapshot) -> Iterator[str]:
    """For the `global` section."""
    if _used(snapshot):
        yield from cipher_lines("server")


def trusted_lines(snapshot: Snapshot) -> Iterator[str]:
    """The lines of the backend `trusted`; none when no service speaks TLS."""
    for i, tls in enumerate(_used(snapshot)):
        yield f"server tls-{i} 127.0.0.1:1 disabled{server_options(tls)}"


def files(snapshot: Snapshot) -> dict[str, CertificateFiles]:
    """By name in the proxy's folder: what a person has named in the manifests."""
    found: dict[str, CertificateFiles] = {}
    for tls in _used(snapshot):
        if tls.ca is not None:
            found[_authority(tls)] = CertificateFiles(Path(tls.ca), Path(tls.ca))
        if tls.certificate is not None:
            found[_own(tls)] = CertificateFiles(Path(tls.certificate), Path(tls.key or tls.certificate))
    return found


def without(snapshot: Snapshot, unusable: Mapping[str, str]) -> Snapshot:
    """The snapshot without the servers of pools that need a file of no use: they would be spoken to in vain."""
    if not unusable:
        return snapshot
    services = []
    for service in snapshot.services:
        pools = (
            replace(p, servers=(), tls=None) if p.tls is not None and _names(p.tls) & unusable.keys() else p
            for p in service.pools
        )
        services.append(replace(service, pools=tuple(pools)))
    return Snapshot(tuple(services), snapshot.version)


def _used(snapshot: Snapshot) -> list[ReplicaTls]:
    every = {p.tls for s in snapshot.services for p in s.pools if p.tls is not None}
    return sorted(every, key=repr)


def _names(tls: ReplicaTls) -> set[str]:
    return {_authority(tls), _own(tls)}


def _authority(tls: ReplicaTls) -> str:
    return f"replicas-{_digest(tls.ca)}-ca.pem" if tls.ca is not None else ""


def _own(tls: ReplicaTls) -> str:
    return f"replicas-{_digest(tls.certificate, tls.key)}.pem" if tls.certificate is not None else ""


def _digest(*paths: str | None) -> str:
    return hashlib.blake2b(repr(paths).encode(), digest_size=6).hexdigest()
