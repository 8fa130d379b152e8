"""The HTTP service: one route that works, and the ones that say how it is.

| route | answers |
|---|---|
| POST /v1/fuse | the fused picture, or JSON with it in base64 |
| GET /healthz | 200 while the process runs |
| GET /readyz | 200 once the networks are loaded and warm, 503 before |
| GET / | a page to try it in a browser |
| GET /examples/NAME.jpg | the portraits of that page |
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from face_fusion import bodies
from face_fusion.errors import Refused
from face_fusion.fusion import Fused
from face_fusion.settings import Settings
from face_fusion.workers import PORTRAITS, Workers

_PAGE = Path(__file__).parent / "page.html"


def create(settings: Settings) -> Starlette:
    """The application. Its threads start with its lifespan, nothing before."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        workers = Workers(
            threads=settings.threads,
            opencv_threads=settings.opencv_threads,
            max_pixels=settings.max_pixels,
            max_waiting=settings.max_waiting,
        )
        app.state.workers, app.state.settings = workers, settings
        # Listening comes first: while the networks load, health is answered and readiness says "not yet".
        starting = asyncio.create_task(workers.start())
        try:
            yield
        finally:
            await asyncio.gather(starting, return_exceptions=True)
            workers.stop()

    routes = [
        Route("/", _page),
        Route("/healthz", _healthz),
        Route("/readyz", _readyz),
        Route("/examples/{name}.jpg", _example),
        Route("/v1/fuse", _fuse, methods=["POST"]),
    ]
    handlers = {Refused: _refused, HTTPException: _http_error, ClientDisconnect: _gone, Exception: _fault}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


async def _fuse(request: Request) -> Response:
    settings: Settings = request.app.state.settings
    asked = await bodies.read(request, settings.max_bytes)
    fused = await request.app.state.workers.fuse(asked.template, asked.user, asked.options)
    headers = {
        "server-timing": ", ".join(f"{name};dur={ms:.1f}" for name, ms in fused.steps_ms.items()),
        "x-served-by": settings.replica,
        "cache-control": "no-store",
    }
    if fused.warnings:
        headers["x-face-fusion-warnings"] = ", ".join(fused.warnings)
    if asked.response == "json":
        return JSONResponse(_as_json(fused), headers=headers)
    return Response(fused.data, media_type=fused.media_type, headers=headers)


def _as_json(fused: Fused) -> dict[str, object]:
    return {
        "image": base64.b64encode(fused.data).decode(),
        "media_type": fused.media_type,
        "width": fused.width,
        "height": fused.height,
        "steps_ms": {name: round(ms, 1) for name, ms in fused.steps_ms.items()},
        "warnings": list(fused.warnings),
    }


async def _page(_: Request) -> Response:
    return FileResponse(_PAGE, media_type="text/html; charset=utf-8")


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _readyz(request: Request) -> Response:
    ready = request.app.state.workers.ready
    return PlainTextResponse("ready\n" if ready else "warming up\n", status_code=200 if ready else 503)


async def _example(request: Request) -> Response:
    # Looked up among what is there, so that no name can lead out of the folder.
    file = {known.stem: known for known in PORTRAITS.glob("*.jpg")}.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404, "no such example")
    return FileResponse(file, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"retry-after": "1"} if error.status == 503 else None
    return JSONResponse(error.as_json(), status_code=error.status, headers=headers)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    body = {"error": {"code": code, "message": error.detail}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    """The client hung up in the middle of its body: nobody reads this answer, and it is no fault of ours."""
    return Response(status_code=499)


async def _fault(_: Request, error: Exception) -> Response:
    """Anything unforeseen: the client gets a code, the log gets the traceback (starlette raises it again)."""
    body = {"error": {"code": "internal", "message": f"{type(error).__name__} while fusing"}}
    return JSONResponse(body, status_code=500)
