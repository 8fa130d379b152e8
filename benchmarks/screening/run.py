"""Throughput and processor time of one HAProxy with and without the media screen, side by side in one run."""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from tidegate.gateway.binary import Binary, find
from tidegate.gateway.screening import SIZE_LINE, MediaLimits, fact_lines, load_lines, screen_lines
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import BUFFER_MARGIN

JPEG_BYTES = 145_000
# As the main proxy has it.
BUFFER = GatewaySettings(Path()).small_body_bytes + BUFFER_MARGIN
BOUNDARY = "----benchmark7MA4YWxk"

PROXY = """
global
  tune.bufsize {buffer}
  nbthread 1
  {load}
defaults
  mode http
  timeout client 20s
  timeout server 20s
  timeout connect 5s
frontend proxy
  bind 127.0.0.1:{port}
  http-request wait-for-body time 20s
  {screen}
  default_backend replica
backend replica
  server replica 127.0.0.1:{replica}
"""

REPLICA = """
global
  nbthread 1
defaults
  mode http
  timeout client 20s
  timeout server 20s
  timeout connect 5s
frontend replica
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string ok
"""

WRK = """
local f = assert(io.open("{body}", "rb"))
wrk.body = f:read("a")
f:close()
wrk.method = "POST"
wrk.headers["Content-Type"] = "{content_type}"
"""


@dataclass(frozen=True, slots=True)
class Shot:
    """One measurement."""

    requests_per_s: float
    cpu_us_per_request: float


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one way of sending: without the screen, with it, and with divided by without."""

    sent_as: str
    body_bytes: int
    requests_per_s_without: float
    requests_per_s_with: float
    throughput_ratio: float
    cpu_us_without: float
    cpu_us_with: float
    cpu_ratio: float


def jpeg() -> bytes:
    """A JPEG of about 145 KB: noise, quality by bisection."""
    noise = np.random.default_rng(1).integers(0, 255, (94, 125, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((1000, 750), Image.Resampling.BICUBIC)
    best = b""
    for quality in range(30, 100):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        best = out.getvalue()
        if len(best) >= JPEG_BYTES:
            break
    return best


def requests() -> dict[str, tuple[bytes, str]]:
    """Body and Content-Type for each way of sending the picture."""
    data = jpeg()
    head = 'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    multipart = f"--{BOUNDARY}\r\n{head}".encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    text = json.dumps({"image": base64.b64encode(data).decode()}).encode()
    form = urllib.parse.urlencode({"image": base64.b64encode(data)}).encode()
    return {
        "raw": (data, "image/jpeg"),
        "multipart": (multipart, f"multipart/form-data; boundary={BOUNDARY}"),
        "json": (text, "application/json"),
        "form": (form, "application/x-www-form-urlencoded"),
    }


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def haproxy(binary: Binary, folder: Path, name: str, config: str, port: int) -> Iterator[psutil.Process]:
    """A running HAProxy."""
    path = folder / f"{name}.cfg"
    path.write_text(config)
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [binary.path, "-db", "-f", path], env=os.environ | binary.environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise SystemExit((folder / f"{name}.log").read_text())
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def shoot(process: psutil.Process, port: int, script: Path, seconds: int, connections: int) -> Shot:
    """Loads the proxy once."""
    before = process.cpu_times()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", script, f"http://127.0.0.1:{port}/"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = process.cpu_times()
    if "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(f"not all requests were answered:\n{told}")
    done = int(re.search(r"(\d+) requests in", told)[1])  # type: ignore[index]
    per_s = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])  # type: ignore[index]
    spent = after.user + after.system - before.user - before.system
    return Shot(per_s, spent * 1e6 / done)


def measure(rounds: int, seconds: int, connections: int, only: str | None = None) -> list[Row]:
    """All rows; the proxies take turns in every round."""
    binary, replica = find(), free_port()
    ports = {"without": free_port(), "with": free_port()}
    shots: dict[tuple[str, str], list[Shot]] = {}
    sent = {kind: one for kind, one in requests().items() if only in (None, kind)}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(haproxy(binary, folder, "replica", REPLICA.format(port=replica), replica))
        processes = {}
        for mode, port in ports.items():
            on = mode == "with"
            load = "\n  ".join(load_lines()) if on else ""
            lines = (SIZE_LINE, *screen_lines(MediaLimits(pixels=64_000_000, kinds=("image",))), *fact_lines())
            screen = "\n  ".join(lines) if on else ""
            config = PROXY.format(load=load, screen=screen, port=port, replica=replica, buffer=BUFFER)
            processes[mode] = stack.enter_context(haproxy(binary, folder, mode, config, port))
        scripts = {}
        for kind, (body, content_type) in sent.items():
            path, scripts[kind] = folder / f"{kind}.body", folder / f"{kind}.lua"
            path.write_bytes(body)
            scripts[kind].write_text(WRK.format(body=path, content_type=content_type))
        for number in range(rounds):
            for kind in sent:
                # Whoever comes second finds a warmer machine or a busier one: each is first in every other round.
                for mode, port in sorted(ports.items(), reverse=bool(number % 2)):
                    shot = shoot(processes[mode], port, scripts[kind], seconds, connections)
                    shots.setdefault((kind, mode), []).append(shot)
    return [row(kind, len(body), shots[kind, "without"], shots[kind, "with"]) for kind, (body, _) in sent.items()]


def row(kind: str, size: int, without: list[Shot], with_: list[Shot]) -> Row:
    """Medians over the rounds; the ratio is the median of the rounds' ratios."""
    per_s = [statistics.median(s.requests_per_s for s in some) for some in (without, with_)]
    cpu = [statistics.median(s.cpu_us_per_request for s in some) for some in (without, with_)]
    pairs = list(zip(without, with_, strict=True))
    return Row(
        kind,
        size,
        *per_s,
        statistics.median(b.requests_per_s / a.requests_per_s for a, b in pairs),
        *cpu,
        statistics.median(b.cpu_us_per_request / a.cpu_us_per_request for a, b in pairs),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="length of one measurement")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", choices=("raw", "multipart", "json", "form"), help="one way of sending")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.rounds, options.seconds, options.connections, options.only)
    if options.json:
        print(json.dumps([asdict(one) for one in rows], indent=2))
        return
    titles = ("sent as", "bytes", "req/s off", "on", "ratio", "cpu us off", "on", "ratio")
    print("{:10} {:>8} {:>10} {:>8} {:>6} {:>11} {:>7} {:>6}".format(*titles))
    for one in rows:
        print(
            f"{one.sent_as:10} {one.body_bytes:8} {one.requests_per_s_without:10.0f} {one.requests_per_s_with:8.0f} "
            f"{one.throughput_ratio:6.2f} {one.cpu_us_without:11.1f} {one.cpu_us_with:7.1f} {one.cpu_ratio:6.2f}"
        )


if __name__ == "__main__":
    main()
