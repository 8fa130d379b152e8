"""Which addresses may be reached. Pure.

Sources: the special-purpose registries of IANA as `ipaddress` knows them; RFC 4291 (mapped and compatible addresses),
RFC 6052 and 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 6598 (shared address space, where some clouds have
their metadata service).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_NEVER = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # public by its number; the platform's own services inside Azure
        "192.0.0.0/24",  # protocol assignments; one cloud has its metadata service there
        "192.88.99.0/24",  # relays of 6to4
        "64:ff9b:1::/48",  # NAT64 of whoever runs the network
        "2001::/23",  # protocol assignments, Teredo among them
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, no longer in use and never public
    )
)


def forbidden(address: Address, allowed: Iterable[str] = ()) -> str:
    """Why an address may not be reached; "" when it may. `allowed` are networks that may be although not public."""
    every = tuple(_meanings(address))
    networks = [ip_network(text) for text in allowed]
    if any(one in network for one in every for network in networks if one.version == network.version):
        return ""
    for one in every:
        why = _not_public(one)
        if why:
            return f"{address} is {why}"
    return ""


def _meanings(address: Address) -> Iterator[Address]:
    """The address itself and the IPv4 address that is reached by way of it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    inside = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield inside
    else:
        yield address


def _not_public(address: Address) -> str:
    if address.is_unspecified:
        return "no address"
    if address.is_loopback:
        return "this machine"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if any(address in network for network in _NEVER if network.version == address.version):
        return "not public"
    if address.is_private or address.is_reserved or not address.is_global:
        return "private or reserved"
    return ""
