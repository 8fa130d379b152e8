"""Fetching a small document whole, for the control process: the keys an issuer publishes."""

from __future__ import annotations

import asyncio
import ssl

import httpcore

from tidegate import __version__
from tidegate.fetch.fetcher import Failed, Guarded, Resolve, resolve
from tidegate.fetch.rules import Rules
from tidegate.fetch.targets import Refused, target

_PORTS = tuple(range(1, 65536))


async def document(
    url: str,
    *,
    networks: tuple[str, ...] = (),
    most_bytes: int,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
    resolve: Resolve = resolve,
) -> bytes:
    """What is at a URL. Redirects are not followed; addresses are judged as for media, `networks` may be reached, too.

    Raises:
        OSError: it may not be fetched, or could not be, in time; the message says why.
    """
    rules = Rules(networks=networks, ports=_PORTS)
    headers = [
        ("user-agent", f"tidegate/{__version__}"),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
    ]
    backend = Guarded(rules, resolve)
    if tls is None and url.startswith("https:"):
        tls = ssl.create_default_context()
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpcore.AsyncConnectionPool(tls, network_backend=backend, max_keepalive_connections=0) as pool,
            pool.stream("GET", target(url, rules).url, headers=headers) as response,
        ):
            if response.status != 200:
                raise Failed(f"it answered {response.status}")
            data = b""
            async for part in response.aiter_stream():
                data += part
                if len(data) > most_bytes:
                    raise Failed(f"it is larger than {most_bytes} bytes")
            return data
    except TimeoutError:
        raise OSError(f"no answer within {timeout_s:g} s") from None
    except (Failed, Refused) as error:
        raise OSError(str(error)) from None
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from None
