"""What a database's error means to the person who has to put it right."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

_REMEDIES = {
    "disk is full": "Free space on the disk",
    "disk i/o error": "Free space on the disk, or check it",
    "locked": "Another process holds it; wait, or end that process",
    "not a database": "Move the file away; a new one is made",
    "malformed": "Move the file away; a new one is made",
    "readonly": "Make the file and its directory writable",
    "unable to open": "Make sure its directory exists and can be written",
}


def name(url: str) -> str:
    """The file, or the URL without its password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return "the journal"
    return parsed.database or "the journal" if parsed.get_backend_name() == "sqlite" else parsed.render_as_string()


def sentence(url: str, verb: str, error: Exception) -> str:
    """One sentence: which journal cannot be read or written, why, and what to do."""
    text = str(getattr(error, "orig", None) or error).splitlines()[0]
    lowered = text.lower()
    remedy = next((r for sign, r in _REMEDIES.items() if sign in lowered), "Check the database and its URL")
    return f"{name(url)} cannot be {verb}: {text}. {remedy}."
