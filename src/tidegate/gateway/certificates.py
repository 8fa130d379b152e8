"""The certificates in front: read and checked, given to the proxy, and given again when their files change.

The proxy takes a new certificate over its socket, so a renewal needs no reload and ends no connection. Its own copy,
certificate and key in one file, lies in its folder: a proxy that is started again finds it there.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tidegate.base.errors import GatewayError
from tidegate.gateway.instance import write_whole
from tidegate.gateway.master import MasterSocket
from tidegate.gateway.tls import CLIENTS_FILE, CertificateFiles, Tls, file_name
from tidegate.model.observed import CertificateSeen

_Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """What the proxy serves for each entry of `Tls`, and what it needs to speak TLS to replicas."""

    def __init__(self, tls: Tls | None, folder: Path) -> None:
        self._folder = folder
        self._front = dict(_files(tls)) if tls is not None else {}
        self._wanted = dict(self._front)
        self._unusable: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._told: dict[str, str] = {}
        self._described: dict[str, CertificateSeen] = {}

    def load(self) -> None:
        """Read all of them and put the proxy's copies in place.

        Raises:
            GatewayError: a file is missing or of no use; the message names it and says what to do.
        """
        for name, files in self._wanted.items():
            self._look(name, files)

    def want(self, replicas: Mapping[str, CertificateFiles]) -> Mapping[str, str]:
        """Also keep these, for replicas, and no others; returns why those that cannot be read now cannot."""
        self._wanted = self._front | dict(replicas)
        self._unusable = {}
        for name, files in replicas.items():
            try:
                self._look(name, files)
            except GatewayError as error:
                if name not in self._texts:
                    self._unusable[name] = str(error)
        return self._unusable

    def mended(self) -> bool:
        """Whether a file that could not be read when it was asked for can be read now."""
        return any(name in self._texts for name in self._unusable)

    def launched(self) -> None:
        """The proxy has just been started or reloaded, so it has what lies in its folder."""
        self._told = dict(self._texts)
        self._described.clear()

    async def follow(self, master: MasterSocket, worker: int) -> tuple[CertificateSeen, ...]:
        """Look at the files again, tell the proxy what has changed, and say how each certificate stands.

        A file that cannot be used is reported, and what was served before goes on being served.
        """
        seen = []
        for name, files in self._wanted.items():
            fault = ""
            try:
                self._look(name, files)
                if self._told.get(name) != self._texts[name]:
                    await self._tell(name, master, worker)
                if name not in self._described and self._told.get(name) == self._texts[name]:
                    self._described[name] = await self._describe(name, files, master, worker)
            except GatewayError as error:
                fault = str(error)
            known = self._described.get(name) or CertificateSeen(str(files.certificate))
            seen.append(replace(known, fault=fault, in_force=name in self._texts))
        return tuple(seen)

    def _look(self, name: str, files: CertificateFiles) -> None:
        stamp = _stamp(files)
        if stamp != self._stamps.get(name):
            # A pair that does not fit, since only half of it is new, is read again at the next look.
            text = _certificates(files) if _is_authority(name) else _pair(files)
            self._stamps[name], self._texts[name] = stamp, text
            write_whole(self._folder / name, text)

    async def _tell(self, name: str, master: MasterSocket, worker: int) -> None:
        kind = "ca-file" if _is_authority(name) else "cert"
        if name not in await master.worker(worker, f"show ssl {kind}"):
            return  # not yet: the reload that brings TLS comes with the next snapshot
        for command in (f"set ssl {kind} {name} <<\n{self._texts[name].strip()}\n", f"commit ssl {kind} {name}"):
            said = await master.worker(worker, command)
            if "transaction" not in said.lower() and "Success" not in said:
                with contextlib.suppress(GatewayError):
                    await master.worker(worker, f"abort ssl {kind} {name}")
                raise GatewayError(f"the proxy refused {name}: {' '.join(said.split())}")
        self._told[name] = self._texts[name]
        self._described.pop(name, None)

    async def _describe(self, name: str, files: CertificateFiles, master: MasterSocket, worker: int) -> CertificateSeen:
        if _is_authority(name):
            return CertificateSeen(str(files.certificate))
        return read_certificate(str(files.certificate), await master.worker(worker, f"show ssl cert {name}"))


def _is_authority(name: str) -> bool:
    return name.endswith("-ca.pem")


def read_certificate(file: str, said: str) -> CertificateSeen:
    """From what the proxy says about a certificate; what it does not say is unknown."""
    fields = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    names = [name.removeprefix("DNS:") for name in fields.get("Subject Alternative Name", "").split(", ") if name]
    return CertificateSeen(file, _time(fields.get("notBefore")), _time(fields.get("notAfter")), tuple(names))


def _time(text: str | None) -> float | None:
    return float(ssl.cert_time_to_seconds(text)) if text else None


def _files(tls: Tls) -> Iterator[tuple[str, CertificateFiles]]:
    for i, files in enumerate(tls.certificates):
        yield file_name(i), files
    if tls.client_ca is not None:
        yield CLIENTS_FILE, CertificateFiles(tls.client_ca, tls.client_ca)


def _stamp(files: CertificateFiles) -> _Stamp:
    """Changes when a file is written or replaced."""
    try:
        stats = [path.stat() for path in (files.certificate, files.key)]
    except OSError as error:
        raise _unreadable(error) from None
    return tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)


def _certificates(files: CertificateFiles) -> str:
    """What a PEM file or two of them hold, as one text.

    Raises:
        GatewayError: naming the file and the remedy.
    """
    try:
        texts = [path.read_text("ascii") for path in dict.fromkeys((files.certificate, files.key))]
    except OSError as error:
        raise _unreadable(error) from None
    except UnicodeDecodeError:
        raise GatewayError(f"{files.certificate} or {files.key} is not PEM: convert it with openssl") from None
    if "-----BEGIN CERTIFICATE-----" not in texts[0]:
        raise GatewayError(f"{files.certificate} holds no certificate: give a PEM file (-----BEGIN CERTIFICATE-----)")
    return "\n".join(t.strip() for t in texts) + "\n"


def _pair(files: CertificateFiles) -> str:
    """A certificate with its chain and its key as one text.

    Raises:
        GatewayError: naming the file and the remedy.
    """
    text = _certificates(files)
    if "PRIVATE KEY-----" not in text:
        raise GatewayError(f"{files.key} holds no private key: give the PEM file of the key of {files.certificate}")
    _check_pair(files)
    return text


def _check_pair(files: CertificateFiles) -> None:
    def no_passphrase() -> str:
        raise GatewayError(
            f"the key in {files.key} has a passphrase: write it without one (openssl pkey -in {files.key} -out NEW) "
            "where only this user can read it"
        )

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key, no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise GatewayError(
                f"the key in {files.key} does not belong to the certificate in {files.certificate}: "
                "give the two that were made together"
            ) from None
        raise GatewayError(f"{files.certificate} and {files.key} cannot be read: {error.reason or error}") from None


def _unreadable(error: OSError) -> GatewayError:
    return GatewayError(f"{error.filename}: {error.strerror}. Name a PEM file that this user can read")
