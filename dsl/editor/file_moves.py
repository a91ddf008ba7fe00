"""What to write in specs when files are moved or called otherwise, so that imports find what they found."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

from mfc.dsl.editor.edits import Edit
from mfc.dsl.resolve import STANDARD_FOLDER, import_path
from mfc.dsl.syntax import File, Import
from mfc.dsl.wording import string


def moving(
    files: Iterable[tuple[str, File]], moves: Mapping[str, str], standard: str
) -> dict[str, list[Edit]]:
    """The edits of each file, by the path that it has before the move.

    Args:
        files: the specs that may import what is moved, and those that are moved, with their paths.
        moves: new paths of files and folders, by the ones before. All are absolute.
        standard: the folder of what comes with the package, which stays where it is.
    """
    found: dict[str, list[Edit]] = {}
    for path, file in files:
        if path not in found and (edits := [*_edits(path, file, moves, standard)]):
            found[path] = edits
    return found


def _edits(path: str, file: File, moves: Mapping[str, str], standard: str) -> Iterator[Edit]:
    home = posixpath.dirname(_moved(path, moves))
    for decl in file.declarations:
        if isinstance(decl, Import):
            before = import_path(decl, path, standard)
            ships = before.startswith(posixpath.join(standard, ""))
            written, to = str(decl.path.value), _moved(before, moves)
            if not ships and posixpath.normpath(posixpath.join(home, written)) != to:
                yield Edit(decl.path.span, _written(to, home, decl))


def _moved(path: str, moves: Mapping[str, str]) -> str:
    """Where a file lies after a move, be it by itself or with a folder around it."""
    folder = path
    while folder not in moves:
        if folder == posixpath.dirname(folder):
            return path
        folder = posixpath.dirname(folder)
    return moves[folder] + path[len(folder) :]


def _written(path: str, home: str, decl: Import) -> str:
    """A path as an import names it, relative to the folder of its file."""
    relative = posixpath.relpath(path, home)
    if decl.kind == "import" and relative.startswith(STANDARD_FOLDER):
        relative = f"./{relative}"  # else it is one that comes with the package
    return string(relative)
