"""The status page in a real browser, over a world that changes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from tidegate.model.reasons import Reason
from tidegate.model.status import ClusterStatus, GatewayStatus, History, PoolHistory, ReplicaStatus
from tidegate.model.tenancy import TenancyStatus
from tidegate.web.ports import Event
from tidegate.web.server import Listen, serving
from web.conftest import Site
from web.lively import crowd
from web.world import AT, TENANCY, FakeControl, pool, replica, status

FACES = [replica("face-1"), replica("face-2", in_flight=1), replica("face-3", "starting")]
HOSTILE = "</script><img src=x onerror=document.title='pwned'><b>"


def eventually(what, why: str, within_s: float = 60.0):
    """The first true answer of `what`; a browser is asked again until then."""
    deadline = time.monotonic() + within_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {why}"
        time.sleep(0.05)
    return answer


def text(browser, selector: str) -> str:
    script = "return [...document.querySelectorAll(arguments[0])].map((n) => n.textContent).join(' | ')"
    return browser.execute_script(script, selector)


def shows(browser, selector: str, wanted: str) -> None:
    eventually(
        lambda: wanted in text(browser, selector), f"{wanted!r} in {selector}, which shows {text(browser, selector)!r}"
    )


def states(browser) -> list[str]:
    return browser.execute_script("return [...document.querySelectorAll('.strip .cell')].map((n) => n.dataset.state)")


def complaints(browser) -> list[str]:
    """What the browser's console holds against the page; a connection that is refused is no fault of the page."""
    return [e["message"] for e in browser.get_log("browser") if "ERR_CONNECTION_REFUSED" not in e["message"]]


def screen(browser, width: int, height: int, *, phone: bool = False) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_shows_the_world_and_follows_it_without_a_reload(site, browser):
    reason = Reason("promise", "2.0 requests a second keep 1.1 slots busy, so 4 replicas", 4)
    site.show(status(pool("face", FACES, wanted=4, pending=1, arrival_per_s=2.0, reasons=(reason,))))
    browser.get(site.url)
    browser.execute_script("window.untouched = true")
    shows(
        browser,
        "#headline",
        "1 service, 2 of 4 replicas ready, 2 requests a second, nothing waiting, 1 without a place.",
    )
    assert states(browser) == ["ready", "ready", "starting", "pending"]
    assert "Promise: 2.0 requests a second keep 1.1 slots busy, so 4 replicas." in text(browser, ".reason")
    assert text(browser, "#gateway-url") == "http://127.0.0.1:8080"
    assert "3 of 8 cores" in text(browser, "#clusters")

    more = [*FACES[:2], replica("face-3"), replica("face-4", "draining", in_flight=1)]
    decided = Event(AT + 1, "decision", "face/default", "replicas wanted 4 -> 3: the evening is over")
    site.show(status(pool("face", more, wanted=3, queued=7), at=AT + 1), decided)
    shows(browser, "#headline", "3 of 3 replicas ready, 7 waiting.")
    shows(browser, "#decisions", "replicas wanted 4 → 3: the evening is over")
    assert states(browser) == ["ready", "ready", "ready", "draining"]
    assert browser.execute_script("return window.untouched === true")
    assert complaints(browser) == []


def test_a_page_that_is_opened_now_shows_the_minutes_before(site, browser):
    at = tuple(AT - 300 + 5 * i for i in range(61))
    rates = tuple(float(i) for i in range(61))
    ones, nothing = (1,) * 61, (None,) * 61
    site.control.before = History(at, (PoolHistory("face", "default", ones, ones, ones, rates, nothing, nothing),))
    site.show(status(pool("face", FACES, arrival_per_s=61.0)))
    browser.get(site.url)
    line = "return document.querySelector('.tile .spark path.main').getAttribute('d') || ''"
    drawn = eventually(lambda: (d := browser.execute_script(line)).count("L") >= 59 and d, "a line over five minutes")
    assert drawn.startswith("M0.0 "), "from the left edge"
    assert text(browser, ".tile .value").startswith("61.0 /s")
    assert complaints(browser) == []


def test_a_replica_tells_about_itself_under_the_pointer_and_to_the_keyboard(site, browser):
    crashed = replica("face-2", restarts=3, detail="exit code 137", cause="exited", address="127.0.0.1:40001")
    site.show(status(pool("face", [FACES[0], crashed])))
    browser.get(site.url)
    eventually(lambda: len(states(browser)) == 2, "two cells")
    browser.execute_script("document.querySelector('.strip').focus()")
    press(browser, "ArrowRight")
    for wanted in ("face-2", "ready for 1 min", "10 min", "here", "exit code 137", "127.0.0.1:40001"):
        shows(browser, "#tip", wanted)
    label = browser.execute_script(
        "return document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).ariaLabel"
    )
    assert "restarts 3" in label
    press(browser, "Escape")
    assert browser.execute_script("return document.getElementById('tip').hidden")
    browser.execute_script("document.querySelector('details.more').open = true")
    shows(browser, "tbody", "exited: exit code 137")


def press(browser, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": key})


def test_what_others_wrote_stays_text(site, browser):
    evil = pool(
        HOSTILE,
        [ReplicaStatus(HOSTILE, "ready", AT, 1.0, HOSTILE, HOSTILE, HOSTILE, cause=HOSTILE, detail=HOSTILE)],
        HOSTILE,
        reasons=(Reason(HOSTILE, HOSTILE), Reason(HOSTILE, HOSTILE)),
    )
    clusters = (ClusterStatus(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: 1.0}, None, detail=HOSTILE),)
    gateway = GatewayStatus(HOSTILE, HOSTILE, up=False, detail=HOSTILE)
    happened = Event(AT + 1, HOSTILE, HOSTILE, HOSTILE)
    site.show(status(evil, clusters=clusters, gateway=gateway))
    browser.get(site.url)
    shows(browser, ".service h2", HOSTILE)
    site.show(status(evil, clusters=clusters, gateway=gateway), happened)
    shows(browser, "#decisions", HOSTILE)
    browser.execute_script(
        "document.querySelector('details.more').open = true; document.querySelector('.strip').focus()"
    )
    shows(browser, "tbody", HOSTILE)
    shows(browser, "#tip", HOSTILE)
    assert browser.title == "Tidegate"
    assert browser.execute_script("return document.querySelectorAll('img, main script').length") == 0
    assert complaints(browser) == []


def test_tenants_are_shown_with_what_is_left_and_follow(site, browser):
    acme, batch = TENANCY.tenants
    site.control.tenancy = TenancyStatus(AT, (replace(acme, name=HOSTILE), batch), {"key_missing": 2})
    site.show(status(pool("face", FACES)))
    browser.get(site.url)
    shows(browser, "#tenants h3", HOSTILE)
    for part in ("3 of 8, 2 waiting", "900 of 1,000", "5 MiB", "413 of 1,000", "99.88% in time", "rate_limited 7",
                 "all services, low", "Nothing answered yet"):  # fmt: skip
        assert part in text(browser, "#tenants"), part
    assert "key_missing 2" in text(browser, "#tenants-more")
    spent = replace(acme, requests_today=1000, spent=True)
    busy = tuple(replace(acme, name=f"tenant-{n}", in_progress=n) for n in range(70))
    site.control.tenancy = TenancyStatus(AT, (spent, *busy))
    site.show(status(pool("face", FACES)), Event(AT + 1, "decision", "face/default", "something"))
    shows(browser, "#tenants-more", "11 tenants more")
    assert "The day is used up until" in text(browser, "#tenants .detail[data-trouble=yes]")
    assert (len(text(browser, "#tenants h3").split(" | ")), complaints(browser)) == (60, [])
    site.control.tenancy = TenancyStatus(AT)
    shows(browser, "#headline", "2 of")
    eventually(lambda: browser.execute_script("return document.getElementById('tenants-card').hidden"), "no card")


def test_only_what_is_wrong_with_a_cluster_looks_like_it(site, browser):
    fine = ClusterStatus("fine", "local", "gz", {"cpu": 8.0}, {"cpu": 1.0}, detail="limits: cores by affinity")
    full = ClusterStatus("closed", "kubernetes", "gz", {"cpu": 8.0}, {"cpu": 1.0}, healthy=False, detail="cordoned")
    lost = ClusterStatus("lost", "kubernetes", "gz", detail="connection refused")
    site.show(status(pool("face", FACES), clusters=(fine, full, lost)))
    browser.get(site.url)
    shows(browser, ".detail[data-trouble=no]", "limits: cores by affinity")
    wrong = "Takes no new replicas: cordoned | Cannot be seen now: connection refused"
    eventually(lambda: text(browser, "#clusters .detail[data-trouble=yes]") == wrong, "both troubles, and no other")


def test_says_that_the_connection_is_lost_and_comes_back_by_itself(site, browser):
    site.show(status(pool("face", FACES)))
    browser.get(site.url)
    shows(browser, "#live-text", "live")
    site.stop()
    shows(browser, "#banner", "Connection lost")
    assert "2 of 3" in text(browser, "#headline"), "the last known state stays visible"
    site.show(status(pool("face", [replica("face-9")]), at=AT + 60))
    site.start()
    shows(browser, "#headline", "1 of 1 replica ready")
    shows(browser, "#live-text", "live")
    assert browser.execute_script("return document.getElementById('banner').hidden")


def test_what_happened_before_is_there_once_after_a_reload_and_a_new_connection(site, browser):
    now = time.time()
    site.control.past = [
        Event(now - 50, "decision", "face/default", "an old one"),
        Event(now - 40, "transition", "face-1", "a move"),
    ]
    browser.get(site.url)
    shows(browser, "#decisions", "an old one")
    assert "a move" not in text(browser, "#decisions")
    browser.execute_script("document.getElementById('show-moves').click()")
    shows(browser, "#decisions", "a move")
    site.stop()
    shows(browser, "#live-text", "lost")
    site.start()
    shows(browser, "#live-text", "live")
    site.show(site.control.now, Event(now, "decision", "face/default", "a new one"))
    shows(browser, "#decisions", "a new one")
    assert text(browser, "#decisions").count("an old one") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768])
def test_fits_a_phone(site, browser, width, scheme):
    screen(browser, width, 844, phone=True)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    name = "a-service-with-quite-a-long-name-of-fifty-letters"
    long = replace(
        TENANCY.tenants[0], name=name, services=(name, name), spent=True, refused={"quota_exhausted": 10**12}
    )
    site.control.tenancy = TenancyStatus(AT, (long, *TENANCY.tenants))
    reason = Reason("demand", "x" * 200)
    many = [replica(f"{name}-{n}", detail="y" * 90) for n in range(60)]
    site.show(status(pool(name, many, reasons=(reason,), arrival_per_s=12345.6, service_ms_mean=98765.4)))
    browser.get(site.url)
    eventually(lambda: len(states(browser)) == 60, "all cells")
    browser.execute_script("document.querySelector('details.more').open = true")
    width_needed = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    needed, there = browser.execute_script(width_needed)
    assert needed <= there == width
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")) > 380
    assert light == (scheme == "light")


def test_nothing_moves_for_those_who_asked_for_it(site, browser):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    site.show(status(pool("face", FACES)))
    browser.get(site.url)
    eventually(lambda: len(states(browser)) == 3, "three cells")
    assert browser.execute_script("return document.getAnimations().length") == 0


def test_a_thousand_replicas_that_all_change_leave_the_page_usable(site, browser):
    """The longest time the page is blocked by one status is the measure; half a second would be felt as frozen."""
    site.show(crowd(AT, 1000, 0))
    browser.get(site.url)
    eventually(lambda: len(states(browser)) == 1000, "a thousand cells")
    browser.execute_script("document.querySelector('details.more').open = true")
    browser.execute_script(
        "window.longest = 0; let last = performance.now();"
        "(function beat() { const now = performance.now(); window.longest = Math.max(window.longest, now - last);"
        " last = now; setTimeout(beat, 0); })()"
    )
    for step in range(1, 6):
        site.show(crowd(AT + step, 1000, step), Event(AT + step, "decision", "big/default", f"step {step}"))
        shows(browser, "#decisions", f"step {step}")
    last = site.control.now.services[0].pools[0].replicas[-1].state
    eventually(lambda: text(browser, "tbody tr:last-child td:nth-child(2)") == last, "the table follows")
    assert browser.execute_script("return window.longest") < 2000  # generous: the machine may be busy
    assert complaints(browser) == []


async def test_asks_for_the_token_where_it_is_needed(browser):
    control = FakeControl(now=status(pool("face", FACES)))
    async with serving(control, Listen(host="0.0.0.0", token="s3cret")) as served:

        def look() -> None:
            browser.get(served.page)
            eventually(
                lambda: not browser.execute_script("return document.getElementById('token-form').hidden"), "form"
            )
            browser.execute_script(
                "document.getElementById('token').value = 's3cret';"
                "document.getElementById('token-form').requestSubmit()"
            )
            shows(browser, "#headline", "2 of 3 replicas ready")
            browser.get("about:blank")
            browser.get(f"{served.page}#token=s3cret")
            shows(browser, "#headline", "2 of 3 replicas ready")
            assert "s3cret" not in browser.current_url

        await asyncio.to_thread(look)


def test_a_page_of_another_origin_reads_nothing(site, browser):
    """The browser itself is asked: a foreign page tries to read the status."""
    other = Site(FakeControl())
    other.start()
    try:
        browser.get(other.url.replace("127.0.0.1", "localhost"))
        answer = browser.execute_async_script(
            "const done = arguments[1];"
            "fetch(arguments[0] + 'v1/status').then((r) => r.text()).then(done, (e) => done('refused: ' + e.message))",
            site.url,
        )
    finally:
        other.stop()
    assert answer.startswith("refused")
