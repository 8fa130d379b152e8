"""Puts the status page together: one HTML document with its style and script inside and nothing loaded from elsewhere.

The parts lie in `page/` as files of their own, so that an editor knows what they are. The policy lets only these
two elements run, by a nonce that is new for every answer, and forbids turning text into markup.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from starlette.responses import HTMLResponse

SCRIPTS = ("format.js", "history.js", "replicas.js", "pools.js", "panels.js", "tenants.js", "connection.js", "main.js")
"""In the order they are joined; all of them share one function scope."""
_NONCE = "@NONCE@"


@cache
def template() -> str:
    """The document with `@NONCE@` where a nonce belongs."""
    folder = files("tidegate.web") / "page"
    script = "\n".join((folder / name).read_text("utf-8") for name in SCRIPTS)
    html = (folder / "index.html").read_text("utf-8")
    html = html.replace("@STYLE@", (folder / "style.css").read_text("utf-8"))
    return html.replace("@SCRIPT@", f'"use strict";\n(() => {{\n{script}\n}})();')


def policy(nonce: str) -> str:
    """The content security policy of the page (https://www.w3.org/TR/CSP3/)."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'nonce-{nonce}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def page(headers: Mapping[str, str]) -> HTMLResponse:
    """The status page with a fresh nonce."""
    nonce = secrets.token_urlsafe(16)
    return HTMLResponse(
        template().replace(_NONCE, nonce),
        headers={**headers, "Content-Security-Policy": policy(nonce), "Cross-Origin-Opener-Policy": "same-origin"},
    )
