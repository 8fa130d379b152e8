"""The gRPC health check (grpc.health.v1). Needs grpcio: the extra `tidegate[grpc]`.

The two messages are small enough to be written and read by hand: a request with one string, an answer with one
number. Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from tidegate.model.observed import Verdict
from tidegate.probes.verdicts import Result
from tidegate.spec.tls import ReplicaTls

METHOD = "/grpc.health.v1.Health/Check"
STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
SERVING = 1
MISSING = "a grpc probe needs the package grpcio. Install it: pip install 'tidegate[grpc]'"

UNVERIFIED = "grpc over TLS always verifies the certificate: name its authority in tls.ca, or look with tcpSocket"


def available() -> bool:
    """Whether grpcio can be imported."""
    try:
        import grpc.aio  # noqa: F401
    except ImportError:
        return False
    return True


async def check(address: str, service: str, timeout_s: float, tls: ReplicaTls | None = None) -> Result:
    """Healthy when the answer is SERVING; `tls` is how the gateway speaks to the replica."""
    try:
        import grpc
        import grpc.aio
    except ImportError:
        return Result(Verdict.UNKNOWN, MISSING)
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
    if tls is None:
        opened = grpc.aio.insecure_channel(address, options=options)
    elif not tls.verify:
        return Result(Verdict.FAIL, UNVERIFIED)
    else:
        if tls.serverName is not None:
            options.append(("grpc.ssl_target_name_override", tls.serverName))
        try:
            credentials = grpc.ssl_channel_credentials(*_pem(tls))
        except OSError as error:
            return Result(Verdict.FAIL, f"tls: {error}")
        opened = grpc.aio.secure_channel(address, credentials, options=options)
    async with opened as channel:
        ask: Any = channel.unary_unary(METHOD, request_serializer=_request, response_deserializer=_status)
        try:
            status = await ask(service, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            return Result(Verdict.FAIL, f"grpc: {error.code().name} {error.details() or ''}".rstrip())
    if status == SERVING:
        return Result(Verdict.PASS)
    return Result(Verdict.FAIL, f"grpc: {STATUS.get(status, status)}")


def _pem(tls: ReplicaTls) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Authorities, the own key, the own certificate.

    Raises:
        OSError: a file cannot be read.
    """
    authorities = tls.ca or ssl.get_default_verify_paths().cafile
    files = (authorities, tls.key or tls.certificate, tls.certificate)
    found = tuple(Path(file).read_bytes() if file is not None else None for file in files)
    return found[0], found[1], found[2]


def _request(service: str) -> bytes:
    """HealthCheckRequest: field 1, a string shorter than 128 bytes or its length as a varint."""
    data = service.encode()
    if not data:
        return b""
    length, out = len(data), bytearray(b"\x0a")
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return bytes(out) + data


def _status(data: bytes) -> int:
    """HealthCheckResponse: field 1, an enum; absent means 0."""
    return data[1] if len(data) >= 2 and data[0] == 0x08 else 0
