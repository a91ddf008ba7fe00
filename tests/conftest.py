"""What all tests share: golden files, which `pytest --update` writes anew, and what hypothesis minds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# That a machine is slow is no mistake of what is tested.
settings.register_profile("mfc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
