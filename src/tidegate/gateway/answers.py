"""The answers the gateway itself gives: one JSON shape, one stable code per cause.

{"error": {"code": "body_too_large", "message": "...", "requestId": "..."}}

The header `x-tidegate-refused` repeats the code; by it the proxy counts its refusals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, stable code and sentence; `retry_after_s` adds the header of that name: seconds, or an expression."""

    status: int
    code: str
    message: str
    retry_after_s: int | str | None = None


NO_SERVICE = Answer(404, "no_such_service", "No service is routed at this address.")
NO_SUCH_PATH = Answer(404, "no_such_path", "The gateway itself has nothing at this path.")
BAD_METHOD = Answer(405, "method_not_allowed", "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.")
BODY_TOO_LARGE = Answer(413, "body_too_large", "The body is larger than this service accepts.")
BAD_PATH = Answer(400, "bad_path", "The target must begin with a slash and hold no dot segments and no zero bytes.")
BAD_HOST = Answer(400, "bad_host", "A request in HTTP/1.1 must name its host.")
BAD_VERSION = Answer(505, "bad_version", "Use HTTP/1.0, HTTP/1.1 or HTTP/2.")
URI_TOO_LONG = Answer(414, "uri_too_long", "The target of the request is longer than 16 KiB.")
TOO_MANY_STREAMS = Answer(429, "too_many_streams", "Too many requests of one address at a time.", 1)
WRONG_HOST = Answer(421, "wrong_host", "On this address the name of the host must be localhost or a number.")
TOKEN_NEEDED = Answer(401, "token_needed", "Send the token as Authorization: Bearer TOKEN.")
HEAD_TOO_LARGE = Answer(431, "headers_too_large", "The headers are more than 100 lines or larger than 32 KiB.")
# Refused by the head: whoever sends a large body along is still sending, and reads no answer until it has been taken.
BY_HEAD = (
    BODY_TOO_LARGE,
    HEAD_TOO_LARGE,
    URI_TOO_LONG,
    BAD_VERSION,
    BAD_HOST,
    BAD_METHOD,
    BAD_PATH,
    NO_SERVICE,
    NO_SUCH_PATH,
)
# Whether the client waits to be told to send its body.
ASKS = "{ var(txn.asks) -m bool }"
# Each backend sets it: when those who wait now will have been served.
_AGAIN = "%[var(txn.again)]"
QUEUE_FULL = Answer(503, "queue_full", "Too many requests are waiting for this service. Try again later.", _AGAIN)
QUEUE_FULL_AT_START = replace(QUEUE_FULL, retry_after_s=5)
NOT_STARTED = Answer(503, "not_started", "No replica became ready in time. Try again later.", 5)

# Refusals by the media screen, by status; the code is the one the screen gave (docs/screening.md).
_CODE = "%[var(txn.media_code)]"
MEDIA = {
    413: Answer(413, _CODE, "There is more in this medium than the service accepts."),
    415: Answer(415, _CODE, "The service does not accept media of this type."),
    422: Answer(422, _CODE, "The media of this request cannot be used: missing, broken or contradictory."),
}

MEDIA_URL_BUSY = Answer(503, "media_url_busy", "The media of this request could not be looked at. Try again later.", 1)

# What the proxy answers by itself, by status. A 503 here means that the wait in the queue was longer than allowed, or
# that no replica could be reached.
BY_STATUS = (
    Answer(400, "bad_request", "The request is not valid HTTP, or the client closed its side early."),
    Answer(403, "forbidden", "This request is not allowed."),
    Answer(404, "not_found", "There is nothing at this address."),
    Answer(408, "upload_timeout", "The request did not arrive in time."),
    Answer(413, "body_too_large", "The body is larger than this service accepts."),
    Answer(429, "too_many_requests", "Too many requests. Slow down.", 1),
    Answer(500, "gateway_error", "The gateway failed to handle this request."),
    Answer(502, "bad_answer", "The service closed the connection or gave an answer that is not HTTP."),
    Answer(503, "no_capacity", "No replica was free in time. Try again later.", _AGAIN),
    Answer(504, "answer_timeout", "The service did not answer in time."),
)


def returned(answer: Answer) -> str:
    """The arguments of `http-request return` that give this answer."""
    return f"status {answer.status} {_content(answer)}"


def refused(answer: Answer, condition: str) -> Iterator[str]:
    """Gives one of `BY_HEAD` where all of the condition holds, after the body that comes with it (see gateway.lua).

    Who asks before sending (`Expect`) is told at once: the proxy would invite the body before it starts a service.
    """
    yield f"http-request return {returned(answer)} if {ASKS} {condition}"
    yield refused_behind_body(answer, condition)


def refused_behind_body(answer: Answer, condition: str) -> str:
    """The same where the body was invited already."""
    return f"http-request use-service lua.refuse_{answer.code} if {condition}"


def lua_table(answers: Iterable[Answer] = ()) -> str:
    """The answers that the script gives: `BY_HEAD` and these."""
    rows = (f'  {a.code} = {{{a.status}, "{a.message}"}},' for a in (*BY_HEAD, *answers))
    return "\n".join(("REFUSALS = {", *rows, "}", ""))


def http_error(answer: Answer) -> str:
    """The `http-error` line for what the proxy answers by itself."""
    return f"http-error status {answer.status} {_content(answer)}"


def _content(answer: Answer) -> str:
    message = answer.message.replace("%", "%%")  # a percent sign starts a variable
    text = json.dumps({"error": {"code": answer.code, "message": message, "requestId": "%[var(txn.rid)]"}})
    # Single quotes protect the text in the proxy's file.
    if "'" in text:
        raise ValueError(f"an answer may not hold a single quote: {text}")
    retry = "" if answer.retry_after_s is None else f" hdr retry-after {answer.retry_after_s}"
    return f"content-type application/json lf-string '{text}'{retry} hdr x-tidegate-refused {answer.code}"
