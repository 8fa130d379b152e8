"""Which pool a request is for: what its media are, what the service refuses, and the pools' conditions in order. Pure.

The lines stand behind `wait-for-body`, in the main proxy for small bodies and in each lane for large ones, so that
whoever holds the whole body reads it. They set `txn.pool` to the backend's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.gateway import by_url, screening
from tidegate.gateway.answers import MEDIA, MEDIA_URL_BUSY, returned
from tidegate.gateway.names import backend_name
from tidegate.gateway.screening import MEDIA_TYPE, MediaLimits, media_sample
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import quoted
from tidegate.model.snapshot import PoolRoute, ServiceRoute, Snapshot, pool_of
from tidegate.spec.requests import SCREENED_KINDS, Accepts, Match, Range

# Subtypes under which people know a format, and the name the screen has for it.
_SUBTYPES = {
    "quicktime": "mov",
    "x-matroska": "mkv",
    "mpeg": "mp3",
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "x-m4a": "m4a",
    "x-flac": "flac",
    "x-ms-bmp": "bmp",
    "jpg": "jpeg",
    "x-icon": "ico",
    "vnd.microsoft.icon": "ico",
    "vnd.adobe.photoshop": "psd",
    "heif": "heic",
    "jp2": "jpeg2000",
}
# Statuses of refusals by the screen; a code that stands here for none is answered with 422.
_STATUS = {
    "media_unsupported_type": 415,
    "media_encoded": 415,
    "media_too_many_bytes": 413,
    "media_too_many_pixels": 413,
    "media_too_many_frames": 413,
    "media_too_long": 413,
    "media_too_many": 413,
    "media_too_complex": 413,
}


def screened(service: ServiceRoute) -> bool:
    """Whether the media of its requests have to be read: it limits them, or a pool is chosen by them."""
    if service.accepts != Accepts() or service.media_by_url is not None:
        return True
    return any(p.match.reads_media for p in service.pools if p.match is not None)


def any_screened(snapshot: Snapshot) -> bool:
    return any(screened(s) for s in snapshot.services)


def choice_lines(snapshot: Snapshot, settings: GatewaySettings) -> Iterator[str]:
    """The lines for all services. Those with one pool and no limits cost one look into a map."""
    yield "http-request set-var(txn.pool) var(txn.service),map_str(pools.map)"
    yield screening.SIZE_LINE
    yield from _screen(snapshot, settings)
    for service in snapshot.services:
        yield from _pools(service)
        yield from _canaries(service)


def fallback_lines(snapshot: Snapshot) -> Iterator[str]:
    """A pool without a free slot sends its requests to its fallback when that one has a free slot and no queue.

    Only where the pools are, so in the main proxy.
    """
    for service in snapshot.services:
        for pool in service.pools:
            name = backend_name(pool.key)
            if pool.fallback is None:
                continue
            bigger = f"{service.service}.{pool.fallback}"
            free = f"{{ be_conn_free({bigger}) gt 0 }} {{ queue({bigger}) eq 0 }}"
            here = f"{{ var(txn.pool) -m str {name} }}"
            yield f"http-request set-var(txn.pool) str({bigger}) if {here} {{ be_conn_free({name}) eq 0 }} {free}"


def _screen(snapshot: Snapshot, settings: GatewaySettings) -> Iterator[str]:
    """Services with the same limits share their lines: the number of lines follows the number of different limits."""
    groups: dict[MediaLimits, list[str]] = {}
    for service in snapshot.services:
        if screened(service):
            groups.setdefault(_limits(service.accepts), []).append(service.service)
    for limits, names in groups.items():
        yield from screening.screen_lines(limits, f"{{ var(txn.service) -m str {' '.join(names)} }}")
    for service in snapshot.services:
        yield from by_url.screen_lines(service, _limits(service.accepts), settings)
    if groups:
        yield from screening.fact_lines()
        refused = "{ var(txn.media_code) -m found } !{ var(txn.media_code) -m str ok }"
        for status in sorted({*_STATUS.values()}):
            codes = " ".join(code for code, s in _STATUS.items() if s == status)
            yield f"http-request return {returned(MEDIA[status])} if {{ var(txn.media_code) -m str {codes} }}"
        if by_url.used(snapshot):
            yield f"http-request return {returned(MEDIA_URL_BUSY)} if {{ var(txn.media_code) -m str media_url_busy }}"
        yield f"http-request return {returned(MEDIA[422])} if {refused}"


def _limits(accepts: Accepts) -> MediaLimits:
    return MediaLimits(
        pixels=accepts.pixels,
        side=accepts.side,
        frames=accepts.frames,
        seconds=accepts.seconds,
        count=accepts.count,
        total_pixels=accepts.totalPixels,
        total_seconds=accepts.totalSeconds,
        kinds=accepts.kinds,
        types=tuple(_SUBTYPES.get(t, t) for t in accepts.types),
        required=accepts.required,
    )


def _pools(service: ServiceRoute) -> Iterator[str]:
    """The first pool whose conditions hold wins, so the last one is asked first and each overrides those before."""
    here = f"{{ var(txn.service) -m str {service.service} }}"
    for pool in reversed(service.pools):
        if pool.match is None:
            continue
        conditions = " ".join(_conditions(pool.match))
        for types in _types(pool.match.type):
            when = " ".join(part for part in (here, conditions, types) if part)
            yield f"http-request set-var(txn.pool) str({backend_name(pool.key)}) if {when}"


def _canaries(service: ServiceRoute) -> Iterator[str]:
    """Requests of a pool that are told by their headers go to the replicas of the new revision."""
    for pool in service.pools:
        if pool.canary_of is not None:
            here = f"{{ var(txn.pool) -m str {_base(pool)} }}"
            told = " ".join(
                f"{{ req.fhdr({name}) -m str {' '.join(quoted(v) for v in values)} }}" for name, values in pool.only
            )
            yield f"http-request set-var(txn.pool) str({backend_name(pool.key)}) if {here} {told}"


def _base(canary: PoolRoute) -> str:
    return backend_name(pool_of(canary.key))


def _conditions(match: Match) -> Iterator[str]:
    """All but the type; all of them have to hold."""
    total = "total_" if match.aggregate == "sum" else ""
    yield from _range(media_sample(f"{total}pixels"), match.pixels)
    yield from _range(media_sample(f"{total}frames"), match.frames)
    yield from _range(media_sample(f"{total}milliseconds"), match.seconds, 1000)
    yield from _range("var(txn.size)", match.bytes)
    for name, value in sorted(match.header.items()):
        yield f"{{ req.fhdr({name.lower()}) -m str {quoted(value)} }}"


def _range(value: str, wanted: Range | None, unit: int = 1) -> Iterator[str]:
    if wanted is not None and wanted.min is not None:
        yield f"{{ {value} -m int ge {round(wanted.min * unit)} }}"
    if wanted is not None and wanted.max is not None:
        yield f"{{ {value} -m int le {round(wanted.max * unit)} }}"


def _types(types: tuple[str, ...]) -> tuple[str, ...]:
    """One condition, or two of which either will do: images, sounds and films are told by their bytes, all others by
    the declared type. No condition when there are no types.
    """
    media = [t for t in types if t.partition("/")[0] in SCREENED_KINDS]
    others = [t for t in types if t not in media]
    conditions = [f"{{ {MEDIA_TYPE} -m reg {_pattern(media, ':')} }}"] if media else []
    if others:
        conditions.append(f"{{ req.fhdr(content-type),lower,word(1,;) -m reg {_pattern(others, '/')} }}")
    return tuple(conditions) or ("",)


def _pattern(types: list[str], between: str) -> str:
    alternatives = []
    for text in types:
        kind, _, subtype = text.lower().partition("/")
        name = ".*" if subtype == "*" else re.escape(_SUBTYPES.get(subtype, subtype))
        alternatives.append(f"{re.escape(kind)}{between}{name}")
    return quoted(f"^({'|'.join(alternatives)})$")
