"""The light service of the rollout benchmark: one asyncio process, SERVICE_S a request, START_S before its port opens.

GET /healthz answers at once. ERRORS=0.05 makes that share of the other answers 500, SLOWER=2 makes each take that many
times as long, FAIL_HEALTH=1 makes /healthz answer 500, WRONG=1 spoils the answer that verify.py looks at.
"""

import asyncio
import os
import random
import signal
import time

SETTINGS = os.environ
SERVICE_S = float(SETTINGS.get("SERVICE_S", "0.5")) * float(SETTINGS.get("SLOWER", "1"))
ERRORS = float(SETTINGS.get("ERRORS", "0"))
BODY = b"wrong" if SETTINGS.get("WRONG") else b"right"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            status = b"200 OK"
            if head.startswith(b"GET /healthz"):
                status = b"500 Sick" if SETTINGS.get("FAIL_HEALTH") else status
            else:
                await asyncio.sleep(SERVICE_S)
                status = b"500 Broken" if random.random() < ERRORS else status
            writer.write(b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status, len(BODY), BODY))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, SETTINGS.get("HOST", "127.0.0.1"), int(SETTINGS["PORT"]), backlog=128)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()
    server.close()


if __name__ == "__main__":
    time.sleep(float(SETTINGS.get("START_S", "0")))
    asyncio.run(main())
