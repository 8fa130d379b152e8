"""What a person should know about the certificates in front, in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from tidegate.model.observed import CertificateSeen

WARN_BEFORE_S = 14 * 86400.0
# Certificates that live a few days are renewed in their last third; a quarter left means that this has failed.
WARN_BEFORE_RATIO = 0.25


def warnings(certificates: Iterable[CertificateSeen], at: float) -> tuple[str, ...]:
    """Sentences about what has gone wrong or soon will, at the instant `at` (epoch seconds)."""
    found = (w for c in certificates for w in (_fault(c), _end(c, at)))
    return tuple(w for w in found if w)


def _fault(certificate: CertificateSeen) -> str:
    if not certificate.fault:
        return ""
    if not certificate.in_force:
        return f"{certificate.fault}. Until then the replicas that need it get no requests"
    return f"{certificate.fault}. What {certificate.file} held before stays in force"


def _end(certificate: CertificateSeen, at: float) -> str:
    until_at = certificate.until_at
    if until_at is None:
        return ""
    remedy = "Renew it in the same file; it is read again by itself"
    day = datetime.fromtimestamp(until_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if until_at <= at:
        return f"certificate {certificate.file} ended on {day}: clients refuse it. {remedy}"
    life_s = until_at - certificate.from_at if certificate.from_at is not None else float("inf")
    if until_at - at > min(WARN_BEFORE_S, WARN_BEFORE_RATIO * life_s):
        return ""
    hours = (until_at - at) / 3600
    left = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"
    return f"certificate {certificate.file} ends on {day}, in {left}. {remedy}"
