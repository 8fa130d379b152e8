"""Access logs as HAProxy and nginx really write them, malformed requests included."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from free_ports import free_ports
from tidegate.gateway.binary import find
from tidegate.sim.trace_files import read

REQUESTS = 40


def send(port: int) -> None:
    """Requests of every kind, also such as no server can understand."""
    odd = (b"\x00\xff nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b'GET /"quoted" HTTP/1.1\r\nHost: a\r\n\r\n')
    usual = b'GET /%d HTTP/1.1\r\nHost: a\r\nUser-Agent: [odd] "agent"\r\nConnection: close\r\n\r\n'
    for i in range(REQUESTS):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            s.sendall(odd[i // 10] if i % 10 == 9 and i // 10 < len(odd) else usual % i)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_haproxy(tmp_path: Path):
    (port,) = free_ports(1)
    binary = find()
    config = tmp_path / "h.cfg"
    config.write_text(
        "global\n log stdout format raw local0\ndefaults\n mode http\n log global\n option httplog\n"
        " timeout client 60s\n timeout connect 60s\n timeout server 60s\n"
        f"frontend front\n bind 127.0.0.1:{port}\n http-request return status 200\n"
    )
    log = tmp_path / "access.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [str(binary.path), "-f", str(config), "-db"], stdout=out, env=os.environ | binary.environment
        )
    try:
        until(lambda: listens(port))
        send(port)
        until(lambda: log.read_bytes().count(b"\n") >= REQUESTS)
    finally:
        running.kill()
        running.wait()
    trace = read(str(log))
    assert REQUESTS <= round(sum(trace.rates) * trace.bin_s) <= REQUESTS + 3
    assert trace.start is not None
    assert abs(trace.start - time.time()) < 120


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx(tmp_path: Path):
    (port,) = free_ports(1)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{ access_log {tmp_path}/access.log combined; client_body_temp_path {tmp_path}/b; "
        f"proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; "
        f"scgi_temp_path {tmp_path}/s; server {{ listen 127.0.0.1:{port}; return 200 ok; }} }}\n"
    )
    log = tmp_path / "access.log"
    running = subprocess.Popen([shutil.which("nginx") or "", "-c", str(config), "-p", str(tmp_path)])
    try:
        until(lambda: listens(port))
        send(port)
        until(lambda: log.read_bytes().count(b"\n") >= REQUESTS)
    finally:
        running.kill()
        running.wait()
    trace = read(str(log))
    assert REQUESTS <= round(sum(trace.rates) * trace.bin_s) <= REQUESTS + 3
    assert trace.start is not None
    assert abs(trace.start - time.time()) < 120
