"""Writing that is whole or not at all, locks between processes, and what is said when a disk refuses."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from mfc.runtime.errors import RunError

ELSEWHERE = "or keep results elsewhere: --store FOLDER, or MFC_STORE"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_OS_ERROR = re.compile(r"os error (\d+)|Os \{ code: (\d+)")


def disk_error(error: Exception, path: str | os.PathLike[str]) -> RunError | None:
    """What to tell a user about an error of writing `path`; None where it is no error of the system.

    Knows errors of Rust libraries too, such as safetensors: their text names the system's error number.
    """
    number, reason = None, str(error)
    if isinstance(error, OSError):
        number, reason = error.errno, error.strerror or str(error)
    elif match := _OS_ERROR.search(str(error)):
        number = int(match[1] or match[2])
        reason = os.strerror(number)
    if number is None:
        return None
    if number in _FULL:
        return RunError(
            "R0301", f"no space left to write {path}", f"free some space, {ELSEWHERE}",
            ["what was finished before is kept; the next run goes on from there"],
        )  # fmt: skip
    if number in _FORBIDDEN:
        return RunError("R0302", f"no permission to write {path}", f"make the folder writable, {ELSEWHERE}")
    return RunError("R0303", f"can't write {path}: {reason}", f"see to the disk, {ELSEWHERE}")


@contextlib.contextmanager
def writes(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns errors of the disk in its body, which writes `path`, into RunError."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        told = disk_error(error, path)
        if told is None:
            raise
        raise told from error


def make_folder(path: Path) -> Path:
    """Makes a folder and those above it, if they are not there. Raises RunError."""
    with writes(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path to write a file to; on success it is flushed and takes the place of `path`.

    A reader sees the old file or the new one, also after a crash. Raises RunError where the disk refuses.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with writes(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a small file, whole or not at all. Raises RunError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def flush(path: Path) -> None:
    """Waits until a file, or the list of a folder's files, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # folders can't be opened there
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (
            errno.EINVAL,
            errno.ENOTSUP,
        ):  # file systems that can't, such as some in memory
            raise
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Removes a folder with all that is in it, as far as possible."""
    shutil.rmtree(path, ignore_errors=True)


class Lock:
    """A lock between processes, held by the open file at `path`. It ends with the process in any case."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, patience: float = 0.0) -> bool:
        """Takes the lock; False where another process holds it for longer than `patience` seconds.

        Raises RunError where the file can't be made.
        """
        make_folder(self.path.parent)
        end = time.monotonic() + patience
        while True:
            with writes(self.path):
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            free = _lock(handle)
            if free and _is_at(handle, self.path):
                break
            os.close(handle)
            if free:
                continue  # its holder removed the file between our two steps
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        os.truncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._handle = handle
        return True

    def release(self) -> None:
        """Gives the lock back, and removes its file."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self._handle)
            self._handle = None

    def holder(self) -> str:
        """The process that holds the lock, as far as is known."""
        with contextlib.suppress(OSError):
            if number := self.path.read_text():
                return f"process {number}"
        return "another process"


def _lock(handle: int) -> bool:
    """Takes the lock of an open file; False where another has it. On file systems without locks, always."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether the file at `path` is still the open one."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(handle))
