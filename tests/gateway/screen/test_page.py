"""docs/screening.md names every code with its status, every header and every variable."""

from __future__ import annotations

import re
from pathlib import Path

from tidegate.gateway import screening
from tidegate.gateway.choice import _STATUS
from tidegate.gateway.screening import lua_path

PAGE = (Path(__file__).parents[3] / "docs" / "screening.md").read_text()
BY_URL = re.compile("media_url_|media_by_url|media_body|media_head|media_mime")


def codes() -> set[str]:
    """What the Lua of the screen can answer."""
    texts = [path.read_text() for path in sorted((lua_path() / "lua" / "media").glob("*.lua"))]
    return {code for text in texts for code in re.findall(r'"(media_\w+)"', text) if not BY_URL.match(code)}


def test_every_code_stands_on_the_page_with_its_status():
    rows = {code: int(status) for status, code in re.findall(r"^\| (\d{3}) \| `(media_\w+)` \|", PAGE, re.MULTILINE)}
    assert rows == {code: _STATUS.get(code, 422) for code in codes()}


def test_every_header_and_variable_stands_on_the_page():
    headers = {f"`x-media-{name}`" for name in screening._HEADERS}
    variables = {f"`{name}`" for name in screening._FIELDS}
    assert {name for name in headers | variables if name not in PAGE} == set()
