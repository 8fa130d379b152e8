"""Which addresses a request can make the gateway reach: none that its sender could not reach as well."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tidegate.fetch.addresses import forbidden

FORBIDDEN = (
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "192.0.0.192", "192.0.2.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("168.63.129.16", "192.88.99.1"),
    *("::", "::1", "::2", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:0", "::127.0.0.1", "::a00:1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::1"),
    *("3fff::1", "5f00::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_what_is_not_public_is_refused_and_named(address: str):
    assert forbidden(ip_address(address)).startswith(f"{ip_address(address)} is ")


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "100.63.255.255"]
)
def test_what_is_public_may_be_reached(address: str):
    assert forbidden(ip_address(address)) == ""


def test_a_network_that_was_named_may_be_reached_and_no_other():
    mine = ("10.1.0.0/16", "fd00:1::/32")
    assert forbidden(ip_address("10.1.2.3"), mine) == ""
    assert forbidden(ip_address("::ffff:10.1.2.3"), mine) == ""
    assert forbidden(ip_address("fd00:1::5"), mine) == ""
    for other in ("10.2.0.1", "127.0.0.1", "fd00:2::1", "169.254.169.254", "::ffff:10.2.0.1"):
        assert forbidden(ip_address(other), mine), other
