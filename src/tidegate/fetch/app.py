"""What the gateway asks: the heads of some URLs for a service, all in one answer.

Request: `POST /heads`, header `x-service`, one URL per line. Answer: for each URL, in order, a line
`CODE TOTAL LENGTH TYPE` and LENGTH bytes. CODE is `ok` or what the sender of the request is told, see
docs/media-by-url.md.
"""

from __future__ import annotations

import asyncio
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.fetch.fetcher import Failed, Fetcher, Head
from tidegate.fetch.rules import RuleBook, Rules
from tidegate.fetch.targets import Refused


def build_app(book: RuleBook, fetcher: Fetcher) -> Starlette:
    """The app behind the socket."""

    async def heads(request: Request) -> Response:
        service = request.headers.get("x-service", "")
        rules = book.of(service)
        urls = (await request.body()).decode("utf-8", "replace").split("\n")
        found = await asyncio.gather(*(_one(fetcher, service, url, rules) for url in urls))
        return Response(b"".join(found), media_type="application/octet-stream")

    return Starlette(routes=[Route("/heads", heads, methods=["POST"])])


async def _one(fetcher: Fetcher, service: str, url: str, rules: Rules | None) -> bytes:
    try:
        if rules is None:
            raise Refused(f"service {service} fetches no media")
        return _framed("ok", await fetcher.head(service, url, rules))
    except Refused as why:
        return _told(service, "media_url_refused", why)
    except Failed as why:
        return _told(service, why.code, why)


def _told(service: str, code: str, why: Exception) -> bytes:
    """The reason goes into the log, not to the sender: it would tell what is reachable from here."""
    print(f"{service}: {code}: {why}", file=sys.stderr, flush=True)
    return _framed(code, Head(b"", 0, ""))


def _framed(code: str, head: Head) -> bytes:
    kind = head.content_type.partition(";")[0].strip().lower().replace(" ", "") or "-"
    return f"{code} {head.total} {len(head.data)} {kind[:100]}\n".encode("latin-1", "replace") + head.data
