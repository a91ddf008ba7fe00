"""A Neovim without a screen, in which tests type: with the plugin of `editors/nvim`, and nothing of the user's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.packaging.wheel import ROOT

PLUGIN = ROOT / "editors" / "nvim"
PROGRAM = shutil.which(os.environ.get("NVIM", "nvim"))
"""The Neovim to test with, which NVIM may name; None where there is none."""

LONGEST = 30
"""Seconds after which a test gives up waiting for what should happen."""

INIT = """
set runtimepath^={plugin}
filetype plugin indent on
syntax on
lua seen = {{}}
lua vim.notify = function(message) table.insert(seen, message) end
{setup}
"""

SERVER = f'cmd = {{ "{sys.executable}", "-m", "mfc", "lsp" }}'


class Neovim:
    """One that runs. `address` is where it listens."""

    def __init__(self, address: str, process: subprocess.Popen[bytes]) -> None:
        self.address = address
        self.process = process
        self.answer = Path(f"{address}.json")

    def type(self, keys: str) -> None:
        """Types keys, named as in mappings: `<Esc>`, `<C-]>`, `<lt>`."""
        self._remote("--remote-send", keys)

    def command(self, line: str) -> None:
        """Types a command, such as `edit spec.mfs`."""
        self.type(f"<C-\\><C-n>:{line.replace('<', '<lt>')}<CR>")

    def value(self, expression: str) -> Any:
        """The value of an expression of Vim's language."""
        self._remote("--remote-expr", f"writefile([json_encode({expression})], '{self.answer}')")
        return json.loads(self.answer.read_text())

    def lua(self, expression: str) -> Any:
        """The value of an expression in Lua."""
        quoted = expression.replace("'", "''")
        return self.value(f"luaeval('{quoted}')")

    def text(self, buffer: str | int = "%") -> str:
        """The text of a buffer, as it is and not as it was saved."""
        return "\n".join(self.value(f"getbufline(bufnr({buffer!r}), 1, '$')")) + "\n"

    def cursor(self) -> tuple[str, int, str]:
        """The file that the cursor is in, its line, and what stands from it to the end of the line."""
        file, line, rest = self.value("[expand('%:t'), line('.'), getline('.')[col('.') - 1 :]]")
        return file, line, rest

    def go(self, text: str) -> None:
        """Puts the cursor on a piece of text that is there once, in the current buffer."""
        assert self.text().count(text) == 1, text
        self.value(f"search('\\V{text}', 'cw')")

    def until(self, found: Callable[[], Any]) -> Any:
        """Waits for something that is not nothing, and gives it."""
        end = time.monotonic() + LONGEST
        while not (result := found()):
            assert self.process.poll() is None, "Neovim ended"
            assert time.monotonic() < end, f"waited in vain; messages: {self.lua('seen')}"
            time.sleep(0.05)
        return result

    def _remote(self, *words: str) -> None:
        assert PROGRAM is not None
        command = [PROGRAM, "--headless", "--server", self.address, *words]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST, check=True)


@contextmanager
def neovim(folder: Path, options: str | None = SERVER) -> Iterator[Neovim]:
    """A Neovim in a folder, in which the plugin is set up with options in Lua, if any."""
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory() as own:  # the name of a socket may not be long
        init, address = Path(own, "init.vim"), str(Path(own, "socket"))
        setup = "" if options is None else f'lua require("mfc").setup({{ {options} }})'
        init.write_text(INIT.format(plugin=PLUGIN, setup=setup))
        places = {f"XDG_{name}_HOME": own for name in ("CONFIG", "DATA", "STATE", "CACHE")}
        command = [PROGRAM, "--headless", "-n", "-i", "NONE", "-u", str(init), "--listen", address]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **places},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not os.path.exists(address):
                assert process.poll() is None, "Neovim did not start"
                time.sleep(0.02)
            yield Neovim(address, process)
        finally:
            process.terminate()  # it ends its servers
            process.wait(LONGEST)
