"""`mediaByUrl:` of a service."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tidegate.spec.by_url import MediaByUrl


def test_networks_may_be_named_and_hosts_are_lower_case():
    rules = MediaByUrl(fields=("image_url",), networks=("10.1.0.0/16", "fd00:1::/32"), hosts=("*.Example.org",))
    assert rules.hosts == ("*.example.org",)
    assert rules.ports == (80, 443)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"fields": ()}, "fields"),
        ({"fields": ("a b",)}, "fields"),
        ({"networks": ("10.1.0.1/16",)}, "expected a network"),
        ({"networks": ("anything",)}, "expected a network"),
        ({"hosts": ("*",)}, "hosts"),
        ({"ports": (0,)}, "ports"),
        ({"headBytes": 10}, "headBytes"),
        ({"timeoutSeconds": 31}, "timeoutSeconds"),
        ({"headBytes": "4Mi", "maxUrls": 5}, "more than 16 MiB a request"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object], words: str):
    with pytest.raises(ValidationError) as told:
        MediaByUrl.model_validate({"fields": ("image_url",)} | wrong)
    assert words in str(told.value)
