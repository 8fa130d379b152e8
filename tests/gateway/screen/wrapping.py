"""Requests around media: multipart, JSON and forms in the ways that senders write them."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable

Request = tuple[bytes, str]
"""Body and Content-Type."""

BOUNDARY = "----gate7MA4YWxkTrZu0gW"


def part(name: str, data: bytes, mime: str = "", filename: str = "", encoding: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    lines = [head, *([f"Content-Type: {mime}"] if mime else [])]
    lines += [f"Content-Transfer-Encoding: {encoding}"] if encoding else []
    return "\r\n".join([*lines, "", ""]).encode() + data


def multipart(*parts: bytes, boundary: str = BOUNDARY, newline: bytes = b"\r\n") -> bytes:
    mark = b"--" + boundary.encode()
    return b"".join(mark + newline + one + newline for one in parts) + mark + b"--" + newline


def form_data(data: bytes, mime: str) -> Request:
    body = multipart(part("note", b"hello"), part("file", data, mime, "a.bin"), part("size", b"42"))
    return body, f"multipart/form-data; boundary={BOUNDARY}"


def form_data_quoted(data: bytes, mime: str) -> Request:
    boundary = "a b:(c)"
    body = b"preamble\r\n" + multipart(part("file", data, mime, "a.bin"), boundary=boundary) + b"epilogue"
    return body, f'multipart/form-data; charset=utf-8; Boundary="{boundary}"'


def form_data_base64(data: bytes, mime: str) -> Request:
    text = base64.encodebytes(data).replace(b"\n", b"\r\n")
    body = multipart(part("file", text, mime, "a.bin", "base64"))
    return body, f"multipart/form-data; boundary={BOUNDARY}"


def form_data_field(data: bytes, mime: str) -> Request:
    return multipart(part("image", base64.b64encode(data))), f"multipart/form-data; boundary={BOUNDARY}"


def _json(text: str) -> Request:
    return json.dumps({"model": "m" * 60, "image": text, "options": {"n": [1, 2]}}).encode(), "application/json"


def plain_json(data: bytes, mime: str) -> Request:
    return _json(base64.b64encode(data).decode())


def json_data_uri(data: bytes, mime: str) -> Request:
    return _json(f"data:{mime};base64,{base64.b64encode(data).decode()}")


def json_url_safe(data: bytes, mime: str) -> Request:
    return _json(base64.urlsafe_b64encode(data).decode().rstrip("="))


def json_lines(data: bytes, mime: str) -> Request:
    return _json(" \n" + base64.encodebytes(data).decode())


def json_escaped(data: bytes, mime: str) -> Request:
    body, content_type = plain_json(data, mime)
    return body.replace(b"/", b"\\/").replace(b"+", b"\\u002b"), content_type


def json_noise(data: bytes, mime: str) -> Request:
    """Signs that are no letters, which forgiving decoders pass over."""
    text = base64.b64encode(data).decode()
    return _json("!" * 300 + text[:10] + "!" + text[10:200] + "\u00e9." + text[200:])


def url_encoded(data: bytes, mime: str) -> Request:
    body = urllib.parse.urlencode({"key": "k" * 50, "image": base64.b64encode(data).decode()})
    return body.encode(), "application/x-www-form-urlencoded"


def url_encoded_badly(data: bytes, mime: str) -> Request:
    return b"a=1&image=" + base64.b64encode(data), "application/x-www-form-urlencoded"


WRAPPINGS: dict[str, Callable[[bytes, str], Request]] = {
    wrap.__name__: wrap
    for wrap in (
        form_data,
        form_data_quoted,
        form_data_base64,
        form_data_field,
        plain_json,
        json_data_uri,
        json_url_safe,
        json_lines,
        json_escaped,
        json_noise,
        url_encoded,
        url_encoded_badly,
    )
}
