"""Real media: what the screen says equals what Pillow, pillow-heif, PyAV and mutagen say, however it is sent."""

from __future__ import annotations

import pytest
from lupa import lua53, lua54

from gateway.screen.corpus import MAKERS, Sample, corpus, family
from gateway.screen.wrapping import WRAPPINGS
from tidegate.gateway.screening import WINDOWS_BYTES, MediaFacts, load_screen, lua_path, screen_bytes

# A stated length may be rounded up to a millisecond.
MILLISECOND = 0.0011


def differences(sample: Sample, facts: MediaFacts) -> list[str]:
    """What the screen says otherwise than the libraries."""
    wrong = [f"refused: {facts.refusal}"] if facts.refusal else []
    wrong += [] if facts.known else ["not read"]
    for name in ("type", "kind", "width", "height", "frames", "sample_rate", "channels"):
        expected, got = getattr(sample, name), getattr(facts, name)
        if expected is not None and expected != got:
            wrong.append(f"{name}: {got}, not {expected}")
    low = (sample.seconds or 0) - MILLISECOND
    high = (sample.seconds or 0) + sample.slack_s + MILLISECOND
    if sample.seconds is not None and not low <= facts.seconds <= high:
        wrong.append(f"seconds: {facts.seconds}, not {sample.seconds}")
    return wrong


@pytest.mark.parametrize("name", MAKERS)
def test_raw_bodies_are_what_the_libraries_say(name):
    wrong = {}
    for sample in family(name):
        facts = screen_bytes(sample.data, sample.mime)
        found = differences(sample, facts)
        if found or (facts.bytes, facts.count) != (len(sample.data), 1):
            wrong[sample.name] = found
    assert wrong == {}


# Decoding base64 in Lua is slow without the proxy's own decoder: the wrappings are tried with what is small.
SMALL_BYTES = 60_000


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrapped_media_are_what_the_libraries_say(wrapping):
    wrong = {}
    for sample in (one for one in corpus() if len(one.data) < SMALL_BYTES):
        body, content_type = WRAPPINGS[wrapping](sample.data, sample.mime)
        facts = screen_bytes(body, content_type)
        found = differences(sample, facts)
        if (facts.bytes, facts.count) != (len(sample.data), 1):
            found.append(f"{facts.count} media of {facts.bytes} bytes, not one of {len(sample.data)}")
        if found:
            wrong[sample.name] = found
    assert wrong == {}


def test_the_first_bytes_say_the_same_as_the_whole_body_or_ask_for_it():
    lua = lua54.LuaRuntime(encoding=None, unpack_returned_tuples=True)
    lua.globals()[b"package"][b"path"] = f"{lua_path()}/lua/?.lua".encode()
    screen = lua.require(b"media.screen")[0]
    for window in WINDOWS_BYTES[:2]:
        told = 0
        for sample in corpus():
            env, front = lua.table_from({b"total": len(sample.data)}), sample.data[:window]
            whole = screen[b"body"](sample.data, sample.mime.encode(), b"", env)[0]
            head = screen[b"head"](front, sample.mime.encode(), b"", env)
            assert head == whole or head.startswith((b"more:", b"whole:")), sample.name
            digits = screen[b"digits"](f"{front.hex().upper()}:{len(sample.data)}".encode(), b"")
            assert digits in (head, whole) or digits.startswith(b"more:"), sample.name
            told += digits == whole
    assert told > len(corpus()) / 2


def test_lua_5_3_says_the_same():
    body = load_screen(lua53.LuaRuntime)
    for sample in corpus():
        record, _ = body(sample.data, sample.mime, "")
        assert record.split(":")[3:5] == [str(screen_bytes(sample.data).width), str(screen_bytes(sample.data).height)]
