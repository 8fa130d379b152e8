"""The routes of the control API and of the status page. Every answer comes from a `ControlPort`; see docs/api.md."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.base.clock import Clock, SystemClock
from tidegate.base.errors import SpecError, TidegateError
from tidegate.model.outlook import Outlook
from tidegate.model.status import History, status_json
from tidegate.model.tenancy import KeyStatus, NewKey, TenancyStatus
from tidegate.web import bodies
from tidegate.web.bodies import BadRequest
from tidegate.web.guard import Access, refusal
from tidegate.web.page import page
from tidegate.web.ports import ControlPort, Diff, Explanation, NotFound, Preview
from tidegate.web.stream import StatusStream, event_lines, log_lines

ANSWER_WITHIN_S = 30.0
"""A control loop that does not answer for this long is reported as stuck instead of leaving the caller waiting."""
HEAD_WITHIN_S = 0.2
MAX_STREAMS = 64

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LINES = "application/x-ndjson"
_STATUS_OF = ((SpecError, 422, "spec"), (NotFound, 404, "not_found"), (BadRequest, 400, "bad_request"))

_diff = TypeAdapter(Diff)
_preview = TypeAdapter(Preview)
_history = TypeAdapter(History)
_explanation = TypeAdapter(Explanation)
_outlook = TypeAdapter(Outlook)
_tenancy = TypeAdapter(TenancyStatus)
_keys = TypeAdapter(tuple[KeyStatus, ...])
_key = TypeAdapter(KeyStatus)
_new_key = TypeAdapter(NewKey)

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    control: ControlPort,
    access: Access | None = None,
    *,
    clock: Clock | None = None,
    closing: asyncio.Event | None = None,
) -> Starlette:
    """The app for one door; `access` says what that door lets through (default: the unix socket's, everything).

    Setting `closing` ends all streams, so that a server can stop without waiting for its followers.
    """
    routes = Routes(control, clock or SystemClock(), closing or asyncio.Event())
    app = Starlette(
        routes=[
            Route("/", show_page),
            Route("/v1/status", routes.status),
            Route("/v1/history", routes.history),
            Route("/v1/stream", routes.stream),
            Route("/v1/explain/{service}", routes.explain),
            Route("/v1/logs/{service}", routes.logs),
            Route("/v1/events", routes.events),
            Route("/v1/apply", routes.apply, methods=["POST"]),
            Route("/v1/plan", routes.plan, methods=["POST"]),
            Route("/v1/what-if", routes.what_if, methods=["POST"]),
            Route("/v1/drain", routes.drain, methods=["POST"]),
            Route("/v1/undrain", routes.undrain, methods=["POST"]),
            Route("/v1/rollout", routes.rollout, methods=["POST"]),
            Route("/v1/tenants", routes.tenants),
            Route("/v1/keys", routes.keys),
            Route("/v1/keys", routes.add_key, methods=["POST"]),
            Route("/v1/keys/revoke", routes.revoke_key, methods=["POST"]),
            Route("/metrics", routes.metrics),
            Route("/v1/learn", routes.learn, methods=["POST"]),
            Route("/v1/down", routes.down, methods=["POST"]),
        ],
        exception_handlers={
            TidegateError: _told,
            TimeoutError: _stuck,
            HTTPException: _http,
            Exception: _bug,
        },
    )
    app.add_middleware(Guarded, access=access or Access.socket())
    return app


class Guarded:
    """Refuses what `access` does not let through, before any route sees it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = refusal(self._access, scope["method"], scope["path"], headers)
        if refused is None:
            await self._app(scope, receive, send)
            return
        answer = _error(refused.status, refused.code, refused.message)
        if refused.status == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        await answer(scope, receive, send)


class Routes:
    """The endpoints over one running system."""

    def __init__(self, control: ControlPort, clock: Clock, closing: asyncio.Event) -> None:
        self._control = control
        self._closing = closing
        self._statuses = StatusStream(control, clock, closing)
        self._streams = 0

    async def status(self, _request: Request) -> Response:
        return _json(status_json(await _soon(self._control.status())))

    async def history(self, _request: Request) -> Response:
        return _json(_history.dump_json(await _soon(self._control.history())))

    async def explain(self, request: Request) -> Response:
        explanation = await _soon(self._control.explain(request.path_params["service"]))
        return _json(_explanation.dump_json(explanation))

    async def apply(self, request: Request) -> Response:
        declared = bodies.read_declared(await _body(request))
        return _json(_diff.dump_json(await _soon(self._control.apply(declared.manifests, prune=declared.prune))))

    async def plan(self, request: Request) -> Response:
        declared = bodies.read_declared(await _body(request))
        return _json(_preview.dump_json(await _soon(self._control.plan(declared.manifests, prune=declared.prune))))

    async def what_if(self, request: Request) -> Response:
        changes = bodies.read_changes(await _body(request))
        return _json(_outlook.dump_json(await _soon(self._control.what_if(changes))))

    async def drain(self, request: Request) -> Response:
        message = await _soon(self._control.drain(await _subject(request)))
        return JSONResponse({"message": message}, headers=_HEADERS)

    async def undrain(self, request: Request) -> Response:
        message = await _soon(self._control.undrain(await _subject(request)))
        return JSONResponse({"message": message}, headers=_HEADERS)

    async def rollout(self, request: Request) -> Response:
        asked = bodies.read_object(await _body(request))
        service, verb = asked.get("service"), asked.get("verb")
        if not isinstance(service, str) or not isinstance(verb, str) or not service or not verb:
            raise BadRequest('expected {"service": "SERVICE", "verb": "pause"}')
        return JSONResponse({"message": await _soon(self._control.rollout(service, verb))}, headers=_HEADERS)

    async def tenants(self, _request: Request) -> Response:
        return _json(_tenancy.dump_json(await _soon(self._control.tenants())))

    async def keys(self, _request: Request) -> Response:
        return _json(_keys.dump_json(await _soon(self._control.keys())))

    async def add_key(self, request: Request) -> Response:
        wanted = bodies.read_new_key(await _body(request))
        made = self._control.add_key(wanted.tenant, note=wanted.note, expires_s=wanted.expires_s)
        return _json(_new_key.dump_json(await _soon(made)))

    async def revoke_key(self, request: Request) -> Response:
        key_id = bodies.read_object(await _body(request)).get("id")
        if not isinstance(key_id, str) or not key_id:
            raise BadRequest('expected {"id": "KEY"}')
        return _json(_key.dump_json(await _soon(self._control.revoke_key(key_id))))

    async def metrics(self, request: Request) -> Response:
        from tidegate.web import metrics

        tenancy, status = await _soon(asyncio.gather(self._control.tenants(), self._control.status()))
        text = metrics.text(tenancy, status)
        headers = _HEADERS | {"Content-Type": metrics.CONTENT_TYPE, "Vary": "Accept-Encoding"}
        if metrics.takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(gzip.compress(text, metrics.GZIP_LEVEL), headers=headers | {"Content-Encoding": "gzip"})
        return Response(text, headers=headers)

    async def learn(self, request: Request) -> Response:
        asked = bodies.read_object(await _body(request))
        names = ("service", "pool", "lesson", "text")
        if asked.keys() != set(names) or not all(isinstance(v, str) and v for v in asked.values()):
            raise BadRequest(f"expected {', '.join(names)}, each a text")
        said = await _soon(self._control.learn(*(asked[name] for name in names)))
        return JSONResponse({"message": said}, headers=_HEADERS)

    async def down(self, _request: Request) -> Response:
        await _soon(self._control.down())
        return JSONResponse({"message": "stopping: draining, then ending every replica"}, 202, headers=_HEADERS)

    async def stream(self, _request: Request) -> Response:
        return await self._follow(self._statuses.frames(), "text/event-stream")

    async def events(self, request: Request) -> Response:
        since, follow = bodies.read_since(request.query_params), bodies.read_flag(request.query_params, "follow")
        return await self._follow(event_lines(self._control.events(since, follow=follow), self._closing), _LINES)

    async def logs(self, request: Request) -> Response:
        query = request.query_params
        tail, follow = bodies.read_tail(query), bodies.read_flag(query, "follow")
        service, replica = request.path_params["service"], query.get("replica")
        lines = self._control.logs(service, replica, tail=tail, follow=follow)
        return await self._follow(log_lines(lines, self._closing), _LINES)

    async def _follow(self, chunks: AsyncIterator[bytes], media_type: str) -> Response:
        """A streamed answer. The first chunk is awaited before the head is sent, so that an error keeps its status."""
        if self._streams >= MAX_STREAMS:
            raise HTTPException(503, f"{MAX_STREAMS} streams are open; close some")
        self._streams += 1
        try:
            first = asyncio.ensure_future(_first(chunks))
            # A follower of something silent has its head soon all the same.
            await asyncio.wait({first}, timeout=HEAD_WITHIN_S)
            if first.done():
                first.result()
        except BaseException:
            self._streams -= 1
            raise
        return _Followed(first, chunks, media_type, self._left)

    def _left(self) -> None:
        self._streams -= 1


class _Followed(StreamingResponse):
    """A streamed answer that says when it is over, also when the client went before its first byte."""

    def __init__(
        self,
        first: asyncio.Future[bytes | None],
        chunks: AsyncIterator[bytes],
        media_type: str,
        left: Callable[[], None],
    ) -> None:
        super().__init__(_joined(first, chunks), media_type=media_type, headers=_HEADERS)
        self._first = first
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._first.cancel()
            self._left()


async def _first(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


async def _joined(first: asyncio.Future[bytes | None], chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    chunk = await first
    while chunk is not None:
        yield chunk
        chunk = await anext(chunks, None)


async def show_page(_request: Request) -> Response:
    """The status page; it holds no data, so it is shown to everybody and asks for the token itself."""
    return page(_HEADERS)


async def _soon(answer: Awaitable[Any]) -> Any:
    async with asyncio.timeout(ANSWER_WITHIN_S):
        return await answer


async def _subject(request: Request) -> str:
    subject = bodies.read_object(await _body(request)).get("subject")
    if not isinstance(subject, str) or not subject:
        raise BadRequest('expected {"subject": "REPLICA or CLUSTER"}')
    return subject


async def _body(request: Request) -> bytes:
    """The body of a writing request. The media type is asked for because a foreign page cannot send it unasked."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"send application/json, got {kind or 'no content type'}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bodies.MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is larger than {bodies.MAX_BODY_BYTES} bytes")
    return bytes(body)


def _json(text: bytes) -> Response:
    return Response(text, media_type="application/json", headers=_HEADERS)


def _error(status: int, code: str, message: str, **more: Any) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message} | more}, status, headers=_HEADERS)


async def _told(_request: Request, error: Exception) -> Response:
    status, code = next(((s, c) for kind, s, c in _STATUS_OF if isinstance(error, kind)), (409, "refused"))
    more = {"faults": list(error.faults)} if isinstance(error, SpecError) else {}
    return _error(status, code, str(error), **more)


async def _stuck(_request: Request, _error_: Exception) -> Response:
    return _error(504, "stuck", f"the control loop did not answer within {ANSWER_WITHIN_S:.0f} s; see its log")


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method", 413: "too_large", 415: "media_type", 503: "busy"}
    return _error(error.status_code, codes.get(error.status_code, "http"), error.detail)


async def _bug(_request: Request, error: Exception) -> Response:
    return _error(500, "internal", f"a bug in the control process ({type(error).__name__}); its log has the details")
