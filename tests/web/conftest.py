"""A real browser without a screen, and the page served from a thread of its own."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tidegate.model.status import Status
from tidegate.web.ports import Event
from tidegate.web.server import Listen, serving
from web.world import FakeControl

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--window-size=1280,900",
)


class Site:
    """The page on a port that stays the same over restarts."""

    def __init__(self, control: FakeControl) -> None:
        self.control = control
        self.port = 0
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(up)), daemon=True)
        self._thread.start()
        assert up.wait(10), "the page is not served"

    async def _serve(self, up: threading.Event) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stop.set)
        self._call = loop.call_soon_threadsafe
        async with serving(self.control, Listen(port=self.port)) as served:
            self.port = int(served.page.rsplit(":", 1)[1].strip("/"))
            up.set()
            await stop.wait()

    def stop(self) -> None:
        self._stop()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server does not stop"

    def show(self, status: Status, *events: Event) -> None:
        """Change the world; with an event, the page hears of it at once."""
        self.control.now = replace(status)
        for event in events:
            self._call(self.control.happen, event)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site(FakeControl())
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no browser: install chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(chromium):
    """The browser with an empty page of desktop size; afterwards, nothing may have gone wrong in its console."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})  # some versions begin without
    chromium.get_log("browser")
    yield chromium
    chromium.get("about:blank")
