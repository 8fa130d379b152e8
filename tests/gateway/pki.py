"""Certificates for tests, as PEM files."""

from __future__ import annotations

from pathlib import Path

import trustme

from tidegate.gateway.tls import CertificateFiles


def written(folder: Path, certificate: trustme.LeafCert, name: str = "server") -> CertificateFiles:
    """A certificate with its chain, and its key, below `folder`."""
    folder.mkdir(exist_ok=True)
    files = CertificateFiles(folder / f"{name}.crt", folder / f"{name}.key")
    files.key.write_bytes(certificate.private_key_pem.bytes())
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    return files


def authority(folder: Path, ca: trustme.CA, name: str = "ca") -> Path:
    """The certificate of an authority."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.pem"
    file.write_bytes(ca.cert_pem.bytes())
    return file
