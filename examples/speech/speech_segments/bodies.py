"""Reading a request: the audio and the options, from a raw body, a multipart form or a JSON object with base64.

Options may always stand in the query; those of a form or an object come first.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from speech_segments.errors import Refused
from speech_segments.segments import Rules

# Option -> smallest and largest value; a probability, then seconds.
_RANGES = {"threshold": (0.05, 0.95), "min_speech": (0.0, 10.0), "min_silence": (0.0, 10.0), "pad": (0.0, 2.0)}
_RESPONSES = ("json", "wav")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for."""

    audio: bytes
    rules: Rules
    response: str


async def read(request: Request, max_bytes: int) -> Asked:
    """The request's content; Refused when it cannot be used."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        fields = await _form(request, max_bytes)
    elif kind == "application/json":
        fields = await _json(request, max_bytes)
    elif kind.startswith("audio/") or kind in ("application/octet-stream", "application/ogg"):
        fields = {"audio": await _whole(request, max_bytes)}
    else:
        message = f"content-type is {kind or 'missing'}; send audio/*, multipart/form-data or application/json"
        raise Refused("unsupported_media_type", message, status=415)
    if "audio" not in fields:
        raise Refused("missing_field", "audio is missing", field="audio")
    data = fields.pop("audio")
    options = dict(request.query_params) | fields
    response = options.pop("response", None) or ("wav" if request.headers.get("accept") == "audio/wav" else "json")
    if response not in _RESPONSES:
        message = f"response: got {response!r}, expected {' or '.join(_RESPONSES)}"
        raise Refused("bad_option", message, field="response")
    return Asked(data, _rules(options), response)


def _rules(options: Mapping[str, Any]) -> Rules:
    for name, value in options.items():
        if name not in _RANGES:
            known = ", ".join([*_RANGES, "response"])
            raise Refused("bad_option", f"unknown field {name}; known are {known}", field=name)
        least, most = _RANGES[name]
        if not least <= _as_number(value) <= most:
            message = f"{name}: got {value!r}, expected a number from {least} to {most}"
            raise Refused("bad_option", message, field=name)
    return dataclasses.replace(Rules(), **{name: _as_number(value) for name, value in options.items()})


def _as_number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else float("nan")
    except ValueError:
        return float("nan")


async def _bounded(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body's chunks, ended by an error at the limit, before they are kept anywhere."""
    declared = request.headers.get("content-length", "0")
    seen = int(declared) if declared.isdigit() else 0
    if seen <= max_bytes:
        seen = 0
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > max_bytes:
                break
            yield chunk
        else:
            return
    raise Refused("body_too_large", f"the body is larger than {max_bytes} bytes", status=413)


async def _whole(request: Request, max_bytes: int) -> bytes:
    return b"".join([chunk async for chunk in _bounded(request, max_bytes)])


async def _form(request: Request, max_bytes: int) -> dict[str, Any]:
    stream = _bounded(request, max_bytes)
    try:
        parser = MultiPartParser(request.headers, stream, max_files=2, max_fields=16, max_part_size=max_bytes)
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise Refused("bad_body", f"the form cannot be read: {error}") from error
    try:
        fields: dict[str, Any] = {}
        for name, value in form.multi_items():
            if name == "audio":
                fields[name] = await value.read() if isinstance(value, UploadFile) else _from_base64(value)
            else:
                fields[name] = value if isinstance(value, str) else "a file"
        return fields
    finally:
        await form.close()


async def _json(request: Request, max_bytes: int) -> dict[str, Any]:
    try:
        body = json.loads(await _whole(request, max_bytes))
    except (ValueError, RecursionError) as error:
        raise Refused("bad_body", f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused("bad_body", "the body is JSON, but not an object")
    return body | {"audio": _from_base64(body["audio"])} if "audio" in body else body


def _from_base64(text: Any) -> bytes:
    """The bytes of a base64 text, also when it is written as a data: URI."""
    if not isinstance(text, str):
        raise Refused("bad_body", "audio must be a base64 text or a data: URI", field="audio")
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise Refused("bad_body", "audio is a data: URI without ;base64", field="audio")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("bad_body", f"audio is not base64: {error}", field="audio") from error
