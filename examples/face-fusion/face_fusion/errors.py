"""What can go wrong with a request, and the stable code a client can rely on.

Refused                     status, code, message
├── BadPicture              not_an_image, empty_picture, unsupported_media_type, too_large
├── BadFace                 no_face, several_faces
└── BadRequest              missing_field, bad_option, bad_body, body_too_large
Busy                        busy: more requests are waiting than this process accepts
"""

from __future__ import annotations


class Refused(Exception):
    """A request that is answered with an error: `code` is stable, `message` is for people."""

    status = 400
    codes: tuple[str, ...] = ()

    def __init__(self, code: str, message: str, *, field: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.field = code, message, field
        if status is not None:
            self.status = status

    def as_json(self) -> dict[str, dict[str, str]]:
        """The error as every client of this service sees it."""
        body = {"code": self.code, "message": self.message}
        if self.field:
            body["field"] = self.field
        return {"error": body}


class BadPicture(Refused):
    """The bytes are not a picture that this service reads, or too big a one."""


class BadFace(Refused):
    """The picture is fine, but not the number of faces in it."""

    status = 422


class BadRequest(Refused):
    """The request itself: a field is missing, an option is unknown, the body cannot be read."""


class Busy(Refused):
    """Too many requests wait already; asking again in a moment may help."""

    status = 503
