"""Which files lie below a folder: the walk that sources of files share, and what is said where it finds none."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from mfc.runtime.errors import RunError


class FileTree:
    """The files with certain extensions in a folder and the folders below it.

    Links are followed; a link to a folder that it lies in is not.

    Args:
        folder: where to look; `~` is the home folder.
        extensions: which files to take, in any case, with or without a dot before them.
        what: what the files are, for messages: `images`.
        recurse: whether to look into folders below.
        folders: only look into these folders at the top of `folder`.
        hidden: whether to take names that begin with a dot as well.

    Attributes:
        root: the absolute path of the folder.
    """

    def __init__(
        self,
        folder: Path,
        extensions: Iterable[str],
        what: str,
        recurse: bool = True,
        folders: list[str] | None = None,
        hidden: bool = False,
    ) -> None:
        self.root = os.path.abspath(os.path.expanduser(folder))
        self.extensions = frozenset(e.lower().lstrip(".") for e in extensions)
        self.what, self.recurse, self.folders, self.hidden = what, recurse, folders, hidden

    def scan(self) -> list[str]:
        """Paths relative to the root, sorted. Raises RunError where the folder is missing or holds no such file."""
        if not os.path.isdir(self.root):
            raise self._missing(self.root)
        items = self._walk(self._wanted)
        if not items:
            raise self._nothing_found()
        items.sort()
        return items

    def _wanted(self, names: list[str]) -> list[str]:
        extensions = self.extensions
        ends = [name.rpartition(".")[2] for name in names]
        taken = [
            name
            for name, end in zip(names, ends)
            if (end in extensions or end.lower() in extensions) and end != name
        ]
        return taken if self.hidden else [n for n in taken if n[0] != "."]

    def _walk(self, pick: Callable[[list[str]], list[str]]) -> list[str]:
        """What `pick` takes of the names in each folder, as paths relative to the root."""
        items: list[str] = []
        real = os.path.realpath(self.root)
        # folders still to be read: path, prefix of its items, its real path and those of the folders above
        waiting: list[tuple[str, str, tuple[str, ...]]] = [(self.root, "", (real,))]
        if self.folders is not None:
            waiting = [(f"{self.root}/{n}", f"{n}/", (real, f"{real}/{n}")) for n in self.folders]
        while waiting:
            folder, prefix, above = waiting.pop()
            inside: list[os.DirEntry[str]] = []
            try:
                with os.scandir(folder) as entries:
                    # `append` gives None, so that one pass lists the names and sets folders aside
                    names = [e.name for e in entries if not e.is_dir() or inside.append(e)]
            except FileNotFoundError as error:
                raise self._missing(folder) from error
            except OSError as error:
                raise unreadable(folder, error) from error
            names = pick(names)
            names.sort()
            items += [prefix + name for name in names]
            for entry in inside if self.recurse else ():
                name = entry.name
                real = os.path.realpath(entry.path) if entry.is_symlink() else f"{above[-1]}/{name}"
                loop = entry.is_symlink() and any(f"{a}/".startswith(f"{real}/") for a in above)
                if not loop and (self.hidden or name[0] != "."):
                    waiting.append((entry.path, f"{prefix}{name}/", (*above, real)))
        return items

    def _nothing_found(self) -> RunError:
        seen: Counter[str] = Counter()

        def count(names: list[str]) -> list[str]:
            for name in names:
                _, dot, end = name.rpartition(".")
                hidden = name[0] == "." and not self.hidden
                seen["hidden" if hidden else f".{end.lower()}" if dot else "none"] += 1
            return []

        self._walk(count)
        counts = sorted(seen.items(), key=lambda pair: (-pair[1], pair[0]))
        kinds = ", ".join(f"{end} ({n:,})" for end, n in counts[:8])
        more = f" and {len(counts) - 8} more" if len(counts) > 8 else ""
        total = f"{seen.total():,} file{'s' if seen.total() != 1 else ''} seen"
        message = f"no {self.what} found in `{self.root}`: {total}"
        if seen:
            message += f", with the extensions {kinds}{more}"
        known = " ".join(sorted(self.extensions))
        return RunError(
            "R0102", message, help=f"taken are the extensions {known}; `extensions = [...]` names others"
        )

    def _missing(self, folder: str) -> RunError:
        """The error for a folder that is not there. It names what is, and the nearest name."""
        path = Path(folder)
        if path.exists():
            return RunError(
                "R0101",
                f"`{folder}` is a file, not a folder",
                help=f"name the folder that holds the {self.what}",
            )
        there = next(parent for parent in path.parents if parent.is_dir())
        missing = path.relative_to(there).parts[0]
        names = (
            sorted(p.name for p in there.iterdir() if p.is_dir() and p.name[0] != ".")
            if os.access(there, 4)
            else []
        )
        near = difflib.get_close_matches(missing, names, 1)
        if near:
            help = f"did you mean `{there / near[0]}`?"
        else:
            shown = ", ".join(f"`{n}`" for n in names[:8]) + (
                f" and {len(names) - 8} more" if len(names) > 8 else ""
            )
            help = f"`{there}` is there and holds {f'the folders {shown}' if names else 'no folders'}"
        return RunError("R0101", f"there is no folder `{folder}`", help=help)


def unreadable(path: str, error: OSError | UnicodeDecodeError) -> RunError:
    """The error for a file or folder that is there but can't be read."""
    why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return RunError("R0103", f"can't read `{path}`: {why}")
