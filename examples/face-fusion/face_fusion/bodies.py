"""Reading a request: the two pictures and the options, from a multipart form or a JSON object with base64."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from face_fusion import options
from face_fusion.errors import BadRequest
from face_fusion.fusion import Options

_PICTURES = ("template", "user")


@dataclass(frozen=True, slots=True)
class FuseRequest:
    """What a client asked for; `response` is `image` or `json`."""

    template: bytes
    user: bytes
    options: Options
    response: str


async def read(request: Request, max_bytes: int) -> FuseRequest:
    """The request's content; BadRequest or 413 and 415 when it cannot be used."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        pictures, rest = await _form(request, max_bytes)
    elif kind == "application/json":
        pictures, rest = await _json(request, max_bytes)
    else:
        message = f"content-type is {kind or 'missing'}; send multipart/form-data or application/json"
        raise BadRequest("unsupported_media_type", message, status=415)
    for name in _PICTURES:
        if name not in pictures:
            raise BadRequest("missing_field", f"{name} is missing: a picture with a face", field=name)
    chosen, response = options.read(rest)
    return FuseRequest(pictures["template"], pictures["user"], chosen, response or _accepted(request))


def _accepted(request: Request) -> str:
    """`json` when the client prefers it by name; whoever accepts anything gets the picture."""
    accept = request.headers.get("accept", "")
    return "json" if "application/json" in accept and "image/" not in accept else "image"


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
    raise BadRequest("body_too_large", f"the body is larger than {max_bytes} bytes", status=413)


async def _form(request: Request, max_bytes: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    # Eight fields besides the pictures exist; a part may be as large as the whole body, whose size is bounded already.
    stream = _bounded(request, max_bytes)
    try:
        parser = MultiPartParser(request.headers, stream, max_files=4, max_fields=16, max_part_size=max_bytes)
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise BadRequest("bad_body", f"the form cannot be read: {error}") from error
    try:
        pictures: dict[str, bytes] = {}
        rest: dict[str, Any] = {}
        for name, value in form.multi_items():
            if name in _PICTURES:
                pictures[name] = await value.read() if isinstance(value, UploadFile) else _from_base64(value, name)
            else:
                rest[name] = value if isinstance(value, str) else "a file"
        return pictures, rest
    finally:
        await form.close()


async def _json(request: Request, max_bytes: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    data = b"".join([chunk async for chunk in _bounded(request, max_bytes)])
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest("bad_body", f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("bad_body", "the body is JSON, but not an object")
    pictures = {name: _from_base64(body.pop(name), name) for name in _PICTURES if name in body}
    return pictures, body


def _from_base64(text: Any, field: str) -> bytes:
    """The bytes of a base64 text, also when it is written as a data: URI."""
    if not isinstance(text, str):
        raise BadRequest("bad_body", f"{field} must be a base64 text or a data: URI", field=field)
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadRequest("bad_body", f"{field} is a data: URI without ;base64", field=field)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("bad_body", f"{field} is not base64: {error}", field=field) from error
