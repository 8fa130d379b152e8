"""What all tests share: the flag that rewrites golden files."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write what is produced over tests/golden/*/out*")


@pytest.fixture
def rewrite_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten instead of compared; review the diff afterwards."""
    return bool(request.config.getoption("--rewrite-golden"))


# The same examples at every run, so that a red run means a change and not a new guess; `--hypothesis-seed` explores.
# No deadline: how long an example takes says something about the machine only.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")
