"""Which definitions run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType

import mfc


def executed(run: Callable[[], object]) -> set[tuple[str, str]]:
    """The top-level definitions of the package whose code runs, as (path, name), without what imports run."""
    package = os.path.abspath(next(iter(mfc.__path__)))
    found: set[tuple[str, str]] = set()
    importing: list[FrameType] = []

    def seen(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if code.co_name == "<module>" and event == "call":
            importing.append(frame)
        elif importing and frame is importing[-1] and event == "return":
            importing.pop()
        elif event == "call" and not importing and code.co_filename.startswith(package):
            found.add((code.co_filename, code.co_qualname.partition(".")[0]))

    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found
