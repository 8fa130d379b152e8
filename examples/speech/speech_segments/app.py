"""The HTTP service.

| route | answers |
|---|---|
| POST /v1/segments | where somebody speaks, as JSON; or the speech alone, as WAV |
| GET /healthz | 200 while the process runs |
| GET /readyz | 200 once the network is loaded and warm, 503 before |
| GET / | a page to try it in a browser |
| GET /examples/NAME.flac | the recording of that page |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from speech_segments import bodies
from speech_segments.errors import Refused
from speech_segments.settings import Settings
from speech_segments.work import RECORDINGS, Found, Workers

_PAGE = Path(__file__).parent / "page.html"


def create(settings: Settings) -> Starlette:
    """The application. Its threads start with its lifespan, nothing before."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        workers = Workers(threads=settings.threads, max_seconds=settings.max_seconds, max_waiting=settings.max_waiting)
        app.state.workers, app.state.settings = workers, settings
        starting = asyncio.create_task(workers.start())  # health is answered while the network loads
        try:
            yield
        finally:
            await asyncio.gather(starting, return_exceptions=True)
            workers.stop()

    routes = [
        Route("/", _page),
        Route("/healthz", _healthz),
        Route("/readyz", _readyz),
        Route("/examples/{name}.flac", _example),
        Route("/v1/segments", _segments, methods=["POST"]),
    ]
    handlers = {Refused: _refused, HTTPException: _http_error, ClientDisconnect: _gone, Exception: _fault}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


async def _segments(request: Request) -> Response:
    settings: Settings = request.app.state.settings
    asked = await bodies.read(request, settings.max_bytes)
    found = await request.app.state.workers.find(asked.audio, asked.rules, wav=asked.response == "wav")
    headers = {
        "server-timing": f"compute;dur={found.compute_ms:.1f}",
        "x-served-by": settings.replica,
        "cache-control": "no-store",
    }
    if found.wav is not None:
        return Response(found.wav, media_type="audio/wav", headers=headers)
    return JSONResponse(_as_json(found), headers=headers)


def _as_json(found: Found) -> dict[str, object]:
    recording = found.recording
    return {
        "seconds": round(recording.seconds, 3),
        "speech_seconds": round(sum(s.seconds for s in found.segments), 3),
        "segments": [{"start": round(s.start, 3), "end": round(s.end, 3)} for s in found.segments],
        "format": recording.kind,
        "rate": recording.rate,
        "channels": recording.channels,
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
    file = {known.stem: known for known in RECORDINGS.glob("*.flac")}.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404, "no such example")
    return FileResponse(file, media_type="audio/flac", headers={"cache-control": "max-age=3600"})


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
    body = {"error": {"code": "internal", "message": f"{type(error).__name__} while listening"}}
    return JSONResponse(body, status_code=500)
