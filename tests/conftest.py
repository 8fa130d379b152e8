"""What all tests share: the flag that rewrites golden files."""

from __future__ import annotations

import pytest
from hypothesis import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write what is produced over tests/golden/*/out*")


@pytest.fixture
def rewrite_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten instead of compared; review the diff afterwards."""
    return bool(request.config.getoption("--rewrite-golden"))


# The same examples at every run, so that a red run means a change and not a new guess; `--hypothesis-seed` explores.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
