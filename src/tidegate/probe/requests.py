"""Asking the replica over HTTP, with a time bound."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 64 * 2**20  # an answer larger than this is cut; a probe script has 512 MiB by default


class RequestFailed(OSError):
    """No answer, or a broken one. Not caught, it makes the replica unhealthy with this text as the reason."""


@dataclass(frozen=True)
class Response:
    """An answer. `took_s` is the time from connecting to the last byte, in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            RequestFailed: it is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise RequestFailed(f"the answer is not JSON: {error}") from None


def request(
    method: str,
    address: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 5.0,
) -> Response:
    """Ask `address` ("host:port"); `timeout` seconds for connecting and for each wait.

    Raises:
        RequestFailed: no answer within the time, or not an HTTP one.
    """
    started = time.perf_counter()
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        data = answer.read(MOST_BYTES)
        names = {name.lower(): value for name, value in answer.getheaders()}
    except TimeoutError:
        raise RequestFailed(f"{method} {path}: no answer within {timeout:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise RequestFailed(f"{method} {path}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    return Response(answer.status, names, data, time.perf_counter() - started)
