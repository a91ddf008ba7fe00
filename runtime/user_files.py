"""A user's Python files as modules, found by their path.

The file `/folder/layers.py` is the module `mfc.runtime.user_files.<its path in hex>`. The name says where the
file is, so that worker processes that were started afresh can import what is sent to them, and two files of
one name never meet. The file's folder is added to the end of `sys.path`: files beside it can be imported, but
never stand in for an installed package.
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

_texts: dict[str, bytes] = {}
"""What was run of each file, by the name of its module."""

__path__: list[str] = []  # makes this module a package, whose modules the finder below knows


class _ByPath(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        if package != __name__:
            return None
        file = bytes.fromhex(name.removeprefix("_")).decode()
        folder = str(Path(file).parent)
        if folder not in sys.path:
            sys.path.append(folder)
        return spec_from_file_location(fullname, file)


sys.meta_path.append(_ByPath())


def blamed(error: BaseException) -> str | None:
    """Where in a user's file an error was raised, or what it called: `scaled in losses.py, line 12`."""
    found, where = None, error.__traceback__
    while where is not None:
        frame = where.tb_frame
        if str(frame.f_globals.get("__name__")).startswith(f"{__name__}._"):
            code = frame.f_code
            found = f"`{code.co_qualname}` in {code.co_filename}, line {where.tb_lineno}"
        where = where.tb_next
    return found


def load(path: str) -> ModuleType:
    """The module of a file, run once a process, and again where the file was changed since. Files that it imports
    are not run again."""
    file = Path(path).resolve()
    name, text = f"{__name__}._{str(file).encode().hex()}", file.read_bytes()
    module = importlib.import_module(name)
    if _texts.setdefault(name, text) != text:
        module = importlib.reload(module)
        _texts[name] = text
    return module
