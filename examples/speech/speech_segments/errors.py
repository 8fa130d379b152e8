"""What can go wrong with a request, and the stable code a client can rely on.

not_audio · empty_audio · unsupported_media_type · too_long · body_too_large · bad_body · missing_field · bad_option ·
busy
"""

from __future__ import annotations


class Refused(Exception):
    """A request that is answered with an error: `code` is stable, `message` is for people."""

    def __init__(self, code: str, message: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.field, self.status = code, message, field, status

    def as_json(self) -> dict[str, dict[str, str]]:
        """The error as every client of this service sees it."""
        body = {"code": self.code, "message": self.message}
        if self.field:
            body["field"] = self.field
        return {"error": body}
