"""The gRPC health check (grpc.health.v1). Needs grpcio: the extra `tidegate[grpc]`.

The two messages are small enough to be written and read by hand: a request with one string, an answer with one
number. Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

from typing import Any

from tidegate.model.observed import Verdict
from tidegate.probes.verdicts import Result

METHOD = "/grpc.health.v1.Health/Check"
STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
SERVING = 1
MISSING = "a grpc probe needs the package grpcio. Install it: pip install 'tidegate[grpc]'"


def available() -> bool:
    """Whether grpcio can be imported."""
    try:
        import grpc.aio  # noqa: F401
    except ImportError:
        return False
    return True


async def check(address: str, service: str, timeout_s: float) -> Result:
    """Healthy when the answer is SERVING."""
    try:
        import grpc
        import grpc.aio
    except ImportError:
        return Result(Verdict.UNKNOWN, MISSING)
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask: Any = channel.unary_unary(METHOD, request_serializer=_request, response_deserializer=_status)
        try:
            status = await ask(service, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            return Result(Verdict.FAIL, f"grpc: {error.code().name} {error.details() or ''}".rstrip())
    if status == SERVING:
        return Result(Verdict.PASS)
    return Result(Verdict.FAIL, f"grpc: {STATUS.get(status, status)}")


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
