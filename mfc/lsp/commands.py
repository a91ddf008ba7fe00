"""What a client can have done by name, beside what the protocol has a request for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from mfc.dsl.params import Text, settable
from mfc.dsl.values import show
from mfc.lsp.workspace import Workspace
from mfc.spec import read

OPTIONS = "mfc.options"
PLAN_TEXT = "mfc.planText"
"""Not `mfc.plan`: that is the client's, which types it into a terminal."""


def options(workspace: Workspace, path: str) -> list[str]:
    """The options of a command line that mean what the client's settings do to a spec. A command line is about the spec
    as it lies on disk, be it open or not, and so are they."""
    outside = workspace.allow_outside
    found = [] if outside is None else ["--allow-outside", str(outside)]
    try:
        names = settable(read(path, {}, allow_outside=outside, opening=True).compiled.program)
    except OSError:
        return found  # what they are given to tells of it
    for name, value in workspace.settings.items():
        if name in names:
            found += ["--set", f"{name}={value if isinstance(value, Text) else show(value)}"]
    return found


async def plan_text(path: str, options: Sequence[str], targets: Sequence[str]) -> str:
    """What `mfc plan` prints of a spec as it lies on disk. It is a process of its own: it reads data, which takes as
    long as it takes."""
    aims = [word for target in targets for word in ("--target", target)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mfc", "plan", path, *options, *aims,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    return (said + out).decode(errors="replace")
