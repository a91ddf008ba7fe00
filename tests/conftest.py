"""What all tests share: golden files, which `pytest --update` writes anew, and what hypothesis minds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# That a machine is slow is no mistake of what is tested. CI draws the same examples each time, so that a failure there
# is of the change; elsewhere they are others in each run, which is what finds mistakes.
settings.register_profile(
    "mfc", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("mfc")

Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write golden files anew instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares a text with a file, or writes it there under `--update`."""

    def check(file: Path, text: str) -> None:
        if request.config.getoption("--update"):
            file.write_text(text, encoding="utf-8", newline="\n")
        assert file.exists(), f"{file} is missing: run pytest --update, and read what it writes"
        assert text == file.read_text(encoding="utf-8")

    return check
