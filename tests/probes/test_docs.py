"""The examples in docs/probes.md are run: the manifest is accepted, every script finds a healthy replica healthy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from probes.servers import Web, reply
from probes.targets import target
from tidegate.model.observed import Verdict
from tidegate.probes.checks import Asked, Checks
from tidegate.probes.scripts import Scripts
from tidegate.spec.probes import KINDS, PrepareStep, Probe, Probes

PAGE = (Path(__file__).parents[2] / "docs" / "probes.md").read_text()
BLOCKS = re.findall(r"```(python|yaml)\n(.*?)```", PAGE, re.DOTALL)
SCRIPTS = [text for kind, text in BLOCKS if kind == "python"]


def test_the_manifest_on_the_page_is_accepted():
    (text,) = [text for kind, text in BLOCKS if kind == "yaml"]
    probes = Probes.model_validate(yaml.safe_load(text)["probes"])
    assert [step.kind for step in probes.prepare] == ["files", "python", "routes"]


def test_every_kind_is_on_the_page():
    names = {"httpGet": "http", "tcpSocket": "tcp"}
    for kind in PrepareStep.kinds():
        assert f"| `{names.get(kind, kind)}:" in PAGE
    assert set(KINDS) <= set(PrepareStep.kinds())


@pytest.mark.parametrize("code", SCRIPTS, ids=range(len(SCRIPTS)))
async def test_scripts_on_the_page_work(code: str, tmp_path: Path):
    (tmp_path / "probe.py").write_text(code)
    scripts = Scripts()
    async with Web(lambda _: reply(200, "ok")).listening() as web:
        about = target(web.address, directory=str(tmp_path), pid=os.getpid())
        probe = Probe(python="probe.py", timeout="20s")
        assert (await Checks(scripts).run(about, probe, Asked("liveness"))).verdict is Verdict.PASS
        if "healthz" in code:
            web.says = lambda _: reply(500, "broken")
            assert (await Checks(scripts).run(about, probe, Asked("liveness"))).verdict is Verdict.FAIL
    await scripts.close()
