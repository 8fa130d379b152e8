"""Ports: one replica each, also while it has not opened it yet, also beside other programs and another Tidegate."""

from __future__ import annotations

import socket

import pytest

from tidegate.base.errors import RuntimeFault
from tidegate.runtimes.local.ports import Ports, port_range

HOST = "127.0.0.1"


def test_a_port_is_not_given_twice_while_it_is_held():
    ports = Ports()
    span = ports._range[:3]
    first, second = Ports(span), Ports(span)
    held = [first.reserve(HOST), second.reserve(HOST), first.reserve(HOST)]
    try:
        assert sorted(p for p, _ in held) == list(span)
        with pytest.raises(RuntimeFault, match="no free port"):
            second.reserve(HOST)
    finally:
        for _, hold in held:
            hold.close()
    port, hold = second.reserve(HOST)
    hold.close()
    assert port in span


@pytest.mark.parametrize("bound_to", [HOST, "0.0.0.0"])
def test_a_port_another_program_listens_on_is_passed_over(bound_to: str):
    span = Ports()._range[100:102]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((bound_to, span[0]))
        other.listen()
        port, hold = Ports(span).reserve(HOST)
        hold.close()
    assert port == span[1]


@pytest.mark.parametrize(
    ("kernels", "ours"),
    [("32768\t60999\n", range(22768, 32768)), ("1024\t60999\n", range(61000, 65536)), (None, range(22768, 32768))],
)
def test_ports_lie_outside_the_kernels_own_range(tmp_path, kernels, ours):
    file = tmp_path / "range"
    if kernels is not None:
        file.write_text(kernels)
    assert port_range(file) == ours
