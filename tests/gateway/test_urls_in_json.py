"""Finding URLs in JSON: the Lua that runs in the proxy, in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lupa import lua54

from tidegate.gateway.screening import lua_path

A, B = "http://a.example/1.png", "https://b.example/2.png"


@pytest.fixture(scope="module")
def find() -> Any:
    lua = lua54.LuaRuntime(encoding=None, unpack_returned_tuples=True)
    lua.globals()[b"package"][b"path"] = f"{lua_path()}/lua/?.lua".encode()
    finder = lua.eval(b'require("fetch.urls").find')

    def run(text: str, keys: str = "image_url", most: int = 8) -> tuple[list[str], str | None]:
        data = text.replace("$A", A).replace("$B", B).encode()
        wanted = lua.table_from({key.encode(): True for key in keys.split()})
        found, problem = finder(data, wanted, most)
        return [url.decode() for url in found.values()], problem and problem.decode()

    return run


FOUND = {
    "plain": ('{"image_url": "$A"}', [A]),
    "object below": ('{"image_url": {"url": "$A", "detail": "low"}}', [A]),
    "array below": ('{"image_url": ["$A", {"x": 1}, "$B"]}', [A, B]),
    "at any depth": ('{"a": [{"b": {"image_url": "$A"}}]}', [A]),
    "twice the same key": ('{"image_url": "$A", "image_url": "$B"}', [A, B]),
    "escaped slashes": ('{"image_url": "http:\\/\\/a.example\\/1.png"}', [A]),
    "escaped key": ('{"\\u0069mage_url": "$A"}', [A]),
    "escaped value": ('{"image_url": "\\u0068ttp://a.example/1.png"}', [A]),
    "space around": ('{"image_url": " \\n$A\\t"}', [A]),
    "capitals": ('{"image_url": "HTTP://a.example/1.png"}', ["HTTP://a.example/1.png"]),
    "another key": ('{"url": "$A", "text": "image_url: $A"}', []),
    "the key as a value": ('["image_url", "$A"]', []),
    "after the value": ('{"image_url": null, "other": "$A"}', []),
    "after an object": ('{"image_url": {"x": 1}, "other": "$A"}', []),
    "data": ('{"image_url": "data:image/png;base64,AAAA"}', []),
    "text": ('{"image_url": "note: none", "x": 1}', []),
    "a quote in a string": ('{"a": "\\"image_url\\": ", "image_url": "$A"}', [A]),
    "a backslash before a quote": ('{"a": "\\\\", "image_url": "$A"}', [A]),
    "brackets in strings": ('{"a": "}]{[", "image_url": "$A"}', [A]),
}


@pytest.mark.parametrize("case", FOUND)
def test_finds(find: Any, case: str):
    text, urls = FOUND[case]
    json.loads(text)
    assert find(text) == (urls, None)


PROBLEMS = {
    "a file": ('{"image_url": "file:///etc/passwd"}', "media_url_refused"),
    "without a scheme": ('{"image_url": "//a.example/1.png"}', "media_url_refused"),
    "a line break": ('{"image_url": "http://a.example/\\nhttp://b.example/"}', "media_url_refused"),
    "too long": ('{"image_url": "http://a.example/' + "a" * 5000 + '"}', "media_url_refused"),
    "cut off": ('{"image_url": "http://a.exa', "media_truncated"),
    "too many": ('{"image_url": [' + ",".join(['"$A"'] * 9) + "]}", "media_too_many"),
    "too deep": ("[" * 100 + '{"image_url": "$A"}' + "]" * 100, "media_too_complex"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_says_what_is_wrong(find: Any, case: str):
    text, code = PROBLEMS[case]
    assert find(text)[1] == code


def test_several_keys(find: Any):
    assert find('{"image_url": "$A", "mask": {"url": "$B"}}', "image_url url") == ([A, B], None)
