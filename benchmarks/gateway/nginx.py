"""nginx as a yardstick: whole-body buffering, kept connections, no log. Debian: apt-get install nginx-light."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEXT = """
worker_processes 2;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  client_body_buffer_size 1m;
  client_max_body_size 16m;
  upstream pool {{
    least_conn;
{servers}
    keepalive 64;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://pool;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering on;
    }}
  }}
}}
"""


def installed() -> bool:
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") is not None


@contextmanager
def nginx(folder: Path, port: int, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    """nginx on 127.0.0.1:`port` in front of the replicas."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") or "nginx"
    servers = "\n".join(f"    server 127.0.0.1:{p};" for p in ports)
    file = folder / "nginx.conf"
    file.write_text(_TEXT.format(folder=folder, port=port, servers=servers))
    process = subprocess.Popen([program, "-c", file, "-e", folder / "nginx.log"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
