"""Ctrl-C and SIGTERM: the first asks for a stop at the end of the batch, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """While entered, notes the first SIGINT or SIGTERM in `received` (its name) instead of acting on it.

    Outside the main thread signals can't be caught, and it does nothing.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._outer: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self.received = None
        if threading.current_thread() is threading.main_thread():
            self._outer = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._outer.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._outer = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        # A handler may have broken into a write to sys.stderr, which can't be entered twice.
        os.write(2, b"\nstopping at the end of this batch (again to stop at once)\n")
