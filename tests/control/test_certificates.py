"""What is said about certificates before clients notice."""

from __future__ import annotations

import pytest

from tidegate.control.certificates import warnings
from tidegate.model.observed import CertificateSeen

DAY = 86400.0
NOW = 1_800_000_000.0


def about(left_days: float, life_days: float = 90, **changes: str) -> tuple[str, ...]:
    until_at = NOW + left_days * DAY
    return warnings([CertificateSeen("/tls/a.pem", until_at - life_days * DAY, until_at, **changes)], NOW)


@pytest.mark.parametrize(
    ("left_days", "life_days", "words"),
    [
        (20, 90, ()),
        (13, 90, ("/tls/a.pem ends on 2027-01-28", "in 13 days", "Renew it in the same file")),
        (1, 90, ("in 24 hours",)),
        (2, 6, ()),
        (1.4, 6, ("in 34 hours",)),
        (-1, 90, ("/tls/a.pem ended on 2027-01-14", "clients refuse it", "Renew it")),
    ],
)
def test_a_certificate_that_ends_soon_is_named_with_the_remedy(left_days: float, life_days: float, words: tuple):
    said = about(left_days, life_days)
    assert len(said) == (1 if words else 0)
    assert all(word in said[0] for word in words)


def test_a_file_that_cannot_be_served_is_named():
    said = about(50, fault="the key in /tls/a.key does not belong to the certificate in /tls/a.pem")
    assert said == (
        "the key in /tls/a.key does not belong to the certificate in /tls/a.pem. "
        "What /tls/a.pem held before stays in force",
    )


def test_a_certificate_of_which_nothing_is_known_gives_no_warning():
    assert warnings([CertificateSeen("/tls/a.pem")], NOW) == ()
