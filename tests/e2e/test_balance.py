"""Live: a replica that is slow beside its peers gets nothing, and is tried again."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.load import Clients
from e2e.system import service, system


def test_one_of_six_replicas_that_takes_ten_times_as_long_is_out_and_comes_back(tmp_path: Path):
    file = tmp_path / "echo.json"
    six = {"minReplicas": 6, "maxReplicas": 6}
    with system(tmp_path, service(scaling=six, env={"ECHO_FAULTS": str(file)})) as live:
        live.ready(6)
        sick = live.pool().replicas[2].id

        def share() -> float:
            return next(r.share_ratio for r in live.pool().replicas if r.id == sick)

        with Clients(live.url + "/echo/?sleep=0.03", count=4) as clients:
            live.wait(lambda: clients.answered[sick] > 20, "all of them answer")
            file.write_text(json.dumps({sick: {"times": 10}}))
            live.wait(lambda: share() == 0, "it gets nothing")
            before, sent = clients.answered[sick], clients.total
            live.wait(lambda: clients.total > sent + 200, "the others answer")
            told = live.run("events", "--since", "5m").stdout
            got = clients.answered[sick] - before
            assert got <= 1 or "gets its share" in told or "gets fewer" in told.partition("gets no requests")[2], (
                "what it had in hand, unless it was tried again meanwhile"
            )
            file.write_text("{}")
            live.wait(lambda: share() >= 0.2, "it is tried again and gets more")
        assert clients.failures == [], clients.failures
        told = live.run("events", "--since", "5m").stdout
        assert "gets no requests" in told
        assert "its peers" in told
