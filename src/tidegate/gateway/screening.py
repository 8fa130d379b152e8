"""The media screen for Python: the same Lua that runs in the proxy, so that the two cannot disagree.

`screen_bytes` runs it in process through lupa (extra `screen`); `screen_lines` gives the proxy configuration that
runs it per request. Facts are read here, pools are chosen elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, cast

from tidegate.base.errors import ScreenUnavailable

WINDOWS_BYTES: Final = (1024, 4096, 65_536, 262_144)
"""First bytes that are read of a raw body, and how many when those did not tell: previews stand in front."""

_AS_DIGITS: Final = 2
"""So many of the windows are handed over as hexadecimal digits, the larger ones as bytes (docs/decisions/0046)."""


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What a service accepts. None: no limit of that kind. One medium, unless the name says total.

    Pixels are width times height; `side` is the longer edge in pixels.
    """

    pixels: int | None = None
    side: int | None = None
    frames: int | None = None
    seconds: float | None = None
    bytes: int | None = None
    count: int | None = None
    total_pixels: int | None = None
    total_seconds: float | None = None
    total_bytes: int | None = None
    kinds: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    required: bool = False

    def text(self) -> str:
        """The limits as the Lua and the proxy configuration take them: `pixels=64000000;kinds=image+audio`."""
        numbers = (
            (f.name, getattr(self, f.name)) for f in fields(self) if f.name not in {"kinds", "types", "required"}
        )
        parts = [f"{name}={value}" for name, value in numbers if value is not None]
        parts += [
            f"{name}={'+'.join(words)}" for name, words in (("kinds", self.kinds), ("types", self.types)) if words
        ]
        return ";".join([*parts, "required=1"] if self.required else parts)


@dataclass(frozen=True, slots=True)
class Medium:
    """One medium of a request. `exact` is false when sizes are upper bounds judged from the bytes."""

    kind: str
    type: str
    width: int
    height: int
    pixels: int
    frames: int
    seconds: float
    sample_rate: int
    channels: int
    bytes: int
    exact: bool
    fault: str | None


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What the media of one request are: of each number the largest, and the sum over all media.

    `refusal` is None or a stable code (docs/screening.md). `known` is false when a number is an upper bound judged from
    the bytes because the medium could not be read. Type, size in pixels, rate and channels are those of the largest.
    """

    refusal: str | None
    kind: str
    type: str
    width: int
    height: int
    pixels: int
    frames: int
    seconds: float
    sample_rate: int
    channels: int
    bytes: int
    count: int
    known: bool
    total_pixels: int
    total_frames: int
    total_seconds: float
    total_bytes: int
    media: tuple[Medium, ...] = ()


def screen_bytes(data: bytes, content_type: str = "", limits: MediaLimits | None = None) -> MediaFacts:
    """What the gateway sees in a request body.

    Args:
        data: the whole body.
        content_type: the request's Content-Type; it tells containers (multipart, JSON, form) from raw media.
        limits: what the service accepts.

    Raises:
        ScreenUnavailable: lupa is not installed.
    """
    record, media = _screen()(data, content_type, (limits or MediaLimits()).text())
    return facts_of(record, media)


def lua_path() -> Path:
    """The folder that holds `screen.lua` and `lua/`."""
    return Path(str(files("tidegate.gateway")))


def load_lines() -> tuple[str, ...]:
    """Lines of the proxy's `global` section that load the screen, one Lua state per thread."""
    here = lua_path()
    return (f"lua-prepend-path {here}/lua/?.lua", f"lua-load-per-thread {here}/screen.lua")


_TEXTS: Final = {"kind": 2, "type": 3}
_INTEGERS: Final = {
    "width": 4,
    "height": 5,
    "pixels": 6,
    "frames": 7,
    "milliseconds": 8,
    "sample_rate": 9,
    "channels": 10,
    "bytes": 11,
    "count": 12,
    "known": 13,
    "total_pixels": 14,
    "total_frames": 15,
    "total_milliseconds": 16,
    "total_bytes": 17,
}
"""Field of the record for each fact that is a number."""

SIZE_LINE: Final = "http-request set-var(txn.size) req.body_size"
"""Sets the size of the body, bytes; `screen_lines` read it."""

_WRAPPED: Final = (
    "{ req.fhdr(content-type) -m sub -i multipart/ json urlencoded }",
    "{ req.fhdr(content-encoding) -m found }",
)
"""Where the first bytes tell nothing of the media: wrapped and encoded bodies, as the Lua has it for a whole body."""

_FIELDS: Final = _TEXTS | _INTEGERS
_HEADERS: Final = {
    "type": 3,
    "width": 4,
    "height": 5,
    "pixels": 6,
    "frames": 7,
    "seconds": 18,
    "bytes": 11,
    "count": 12,
    "known": 13,
}
"""Field of the record for each request header `x-media-NAME`."""


MEDIA_TYPE: Final = "var(txn.media),field(2,:,2)"
"""The sample expression for kind and type of the largest medium: `image:jpeg`."""


def media_sample(name: str) -> str:
    """The sample expression for a fact, for a condition: `{ var(txn.media),field(6,:) -m int gt 8000000 }`.

    Raises:
        ValueError: no fact has this name.
    """
    if name not in _FIELDS:
        raise ValueError(f"no media fact is called {name!r}; there are {', '.join(_FIELDS)}")
    return f"var(txn.media),field({_FIELDS[name]},:)"


def screen_lines(limits: MediaLimits, condition: str = "") -> tuple[str, ...]:
    """Lines of a `frontend` or `backend` that screen a request; they belong after `http-request wait-for-body`.

    `txn.size` must be set (`SIZE_LINE`). They set `txn.media`, the record; `fact_lines` say what stands in it.

    Args:
        limits: what the service accepts.
        condition: ACLs that tell the service's requests (`is_fusion`), when several share the section; no `or` in it.
    """
    text = limits.text() or "-"
    raw = " ".join((condition, *(f"!{wrapped}" for wrapped in _WRAPPED))).lstrip()
    more = f"{{ var(txn.media) -m beg more: }} {condition}".rstrip()
    unread = f"{{ var(txn.media) -m beg more: whole: }} {condition}".rstrip()
    # A line that cannot say anything leaves the one before in force.
    lines = [f"http-request set-var(txn.media) str(whole:){f' if {condition}' if condition else ''}"]
    for number, window in enumerate(WINDOWS_BYTES):
        front, when = f"req.body,bytes(0,{window})", more if number else raw
        if number < _AS_DIGITS:
            digits = f"{front},hex,concat(:,txn.size),lua.media_digits({text})"
            lines.append(f"http-request set-var(txn.media) {digits} if {when}")
        else:
            lines.append(f"http-request set-var(txn.media_head) {front} if {when}")
            lines.append(f"http-request set-var(txn.media) lua.media_head({text}) if {when}")
    lines += [
        "http-request unset-var(txn.media_head) if { var(txn.media_head) -m found }",
        f"http-request lua.media_body {text} if {unread}",
    ]
    return tuple(lines)


def fact_lines() -> tuple[str, ...]:
    """From the record in `txn.media`, where there is one, to `txn.media_code`, which is `ok` or the refusal, and to the
    `x-media-*` request headers. Any such header of the client must have been removed.
    """
    when = "if { var(txn.media) -m found }"
    headers = (
        f"http-request add-header x-media-{name} %[var(txn.media),field({n},:)] {when}" for name, n in _HEADERS.items()
    )
    return (f"http-request set-var(txn.media_code) var(txn.media),field(1,:) {when}", *headers)


def facts_of(record: str, media: Iterable[Any] = ()) -> MediaFacts:
    """The facts in a record, `txn.media`.

    Raises:
        ValueError: it is no record.
    """
    code, kind, type_, *rest = record.split(":")
    width, height, pixels, frames, ms, rate, channels, size, count, known, *totals = (int(text) for text in rest[:-1])
    return MediaFacts(
        refusal=None if code == "ok" else code,
        kind=kind,
        type=type_,
        width=width,
        height=height,
        pixels=pixels,
        frames=frames,
        seconds=ms / 1000,
        sample_rate=rate,
        channels=channels,
        bytes=size,
        count=count,
        known=bool(known),
        total_pixels=totals[0],
        total_frames=totals[1],
        total_seconds=totals[2] / 1000,
        total_bytes=totals[3],
        media=tuple(media),
    )


@functools.cache
def _screen() -> Callable[[bytes, str, str], tuple[str, list[Medium]]]:
    try:
        from lupa import lua54
    except ImportError as error:
        raise ScreenUnavailable("screening in Python needs lupa: pip install 'tidegate[screen]'") from error
    return load_screen(lua54.LuaRuntime)


def load_screen(runtime: Callable[..., Any]) -> Callable[[bytes, str, str], tuple[str, list[Medium]]]:
    """The screen in a new Lua state of `runtime` (a lupa `LuaRuntime` class). Not for use by two threads at once."""
    lua = runtime(encoding=None, unpack_returned_tuples=True, register_eval=False)
    lua.globals()[b"package"][b"path"] = f"{lua_path()}/lua/?.lua".encode()
    body = lua.eval(b'require("media.screen").body')

    def run(data: bytes, content_type: str, limits: str) -> tuple[str, list[Medium]]:
        record, media = body(data, content_type.encode("latin-1", "replace"), limits.encode())
        return cast(bytes, record).decode(), [_medium(one) for one in media.values()]

    return run


def _medium(table: Any) -> Medium:
    fault = table[b"code"]
    return Medium(
        table[b"kind"].decode(),
        table[b"type"].decode(),
        table[b"width"],
        table[b"height"],
        table[b"pixels"],
        table[b"frames"],
        table[b"milliseconds"] / 1000,
        table[b"rate"],
        table[b"channels"],
        table[b"bytes"],
        table[b"exact"] is not False,
        fault.decode() if fault else None,
    )
