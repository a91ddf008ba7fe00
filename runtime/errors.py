"""What a run raises when something that a user can mend went wrong.

Each code has a page in `docs/errors/`: R01xx data, R02xx training, R03xx store and disk, R04xx device,
R05xx what was asked for, R06xx what is exported.
"""

from __future__ import annotations

from collections.abc import Iterable


class RunError(Exception):
    """A run can't go on. `message` says what happened, `help` what to do, `notes` what else is worth knowing. `item` is
    the item of the data that it is about, if it is about one."""

    def __init__(
        self,
        code: str,
        message: str,
        help: str | None = None,
        notes: Iterable[str] = (),
        item: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.help = help
        self.notes = list(notes)
        self.item = item

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        lines += [f"  = note: {note}" for note in self.notes]
        if self.help:
            lines.append(f"  = help: {self.help}")
        return "\n".join(lines)


class RunInterrupted(KeyboardInterrupt):
    """Someone stopped the run (Ctrl-C, SIGTERM). What its message names is kept; the next run goes on from there."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
