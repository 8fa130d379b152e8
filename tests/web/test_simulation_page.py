"""The page of `tidegate simulate --html` in a real browser: several services and clusters, one of them without load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenarios.worlds import cluster, scenario, service
from tidegate.sim.page import Run, page
from tidegate.sim.world import World
from web.test_page import eventually, screen, text

HOSTILE = '</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two services over two clusters, a size class without requests, an outage; one other policy beside ours."""
    placement = {"clusters": ["gz", "sz"], "spread": {"maxShare": "60%"}}
    idle = {"name": "large", "match": {"pixels": {"min": 8_000_000}}, "scaling": {"minReplicas": 0, "maxReplicas": 2}}
    made = scenario(
        service("ocr", placement=placement, pools=[idle]),
        service("speech", placement=placement),
        cluster("gz"),
        cluster("sz"),
        shape={"ocr": "sine:mean=10,period=1h,length=1h", "speech": "constant:mean=30,length=1h"},
        faults=[{"at": "30m", "for": "5m", "outage": {"cluster": "gz"}}],
    )
    result = World(made).run()
    runs = [Run("tidegate", "the policy that runs live", result), Run("static", HOSTILE, result)]
    runs[0] = replace(runs[0], result=replace(result, events=((1.0, HOSTILE), *result.events)))
    path = tmp_path_factory.mktemp("page") / "run.html"
    path.write_text(page(runs, command="tidegate simulate " + HOSTILE, about=HOSTILE))
    return path.as_uri()


@pytest.fixture
def opened(browser, file):
    browser.get(file)
    eventually(lambda: text(browser, "#charts h2"), "the charts are drawn")
    return browser


def test_all_pools_at_a_glance_the_busiest_first_and_nothing_that_is_no_number(opened):
    rows = text(opened, ".pools tbody tr td:first-child")
    assert rows == "speech | ocr | ocr/large"
    assert text(opened, "h2.chosen") == "speech"
    opened.execute_script("document.querySelectorAll('.pools tbody tr')[2].click()")
    assert text(opened, "h2.chosen") == "ocr/large"
    body = text(opened, "body > :not(script)")
    assert "no requests" in body
    assert "NaN" not in body
    assert "Infinity" not in body


def test_clusters_and_what_happened_are_told(opened):
    assert "Replicas of tidegate by cluster" in text(opened, "#charts h2")
    assert "the cluster went down" in text(opened, "#events li")


def test_nothing_in_it_is_taken_for_markup(opened):
    assert opened.title == "Tidegate simulation"
    assert opened.execute_script("return document.images.length") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fits_a_phone_in_both_themes(browser, file, theme: str):
    screen(browser, 390, 844, phone=True)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(file)
    eventually(lambda: text(browser, "#charts h2"), "the charts are drawn")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(11, 20, 23)") is (theme == "dark")
