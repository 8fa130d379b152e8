"""The options of a request, from the words of a form or a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from face_fusion.blend import METHODS
from face_fusion.errors import BadRequest
from face_fusion.fusion import Options

_WORDS = {"blend": METHODS, "faces": ("one", "largest"), "format": ("jpeg", "png"), "response": ("image", "json")}
_SHARES = ("shape", "strength")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
NAMES = frozenset({*_WORDS, *_SHARES, "denoise", "quality"})


def read(given: Mapping[str, Any]) -> tuple[Options, str | None]:
    """Options, and how to answer (`image`, `json` or None when not said); BadRequest names the first bad one."""
    unknown = sorted(set(given) - NAMES)
    if unknown:
        raise BadRequest(
            "bad_option", f"unknown field {unknown[0]}; known are {', '.join(sorted(NAMES))}", field=unknown[0]
        )
    words = {name: _word(given[name], name) for name in _WORDS if name in given}
    kept: dict[str, Any] = {name: words[name] for name in ("blend", "faces") if name in words}
    kept |= {name: _number(given[name], name, 0, 1) for name in _SHARES if name in given}
    if "format" in words:
        kept["media_type"] = f"image/{words['format']}"
    if "quality" in given:
        kept["quality"] = int(_number(given["quality"], "quality", 1, 100))
    if "denoise" in given:
        kept["denoise"] = _truth(given["denoise"])
    return Options(**kept), words.get("response")


def _word(value: Any, name: str) -> str:
    if value not in _WORDS[name]:
        raise BadRequest("bad_option", f"{name}: got {value!r}, expected {' or '.join(_WORDS[name])}", field=name)
    return str(value)


def _number(value: Any, name: str, least: float, most: float) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else float("nan")
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise BadRequest("bad_option", f"{name}: got {value!r}, expected a number from {least} to {most}", field=name)
    return number


def _truth(value: Any) -> bool:
    truth = _TRUTHS.get(str(value).lower())
    if truth is None:
        raise BadRequest("bad_option", f"denoise: got {value!r}, expected true or false", field="denoise")
    return truth
