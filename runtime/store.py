"""The store: results of stages, found again by their keys. Only the store writes artifacts.

    .mfc/                            beside the spec, or the folder MFC_STORE
        artifacts/STAGE/KEY/         the files of a result and its manifest, artifact.json
        work/STAGE/KEY/              what a run that was interrupted left, to go on from
        runs/SPEC/STAGE.json         what the stage's last key was made of, to tell why it runs again
        digests/                     digests of the data's files (`mfc.runtime.hashcache`)
        locks/ tmp/                  of processes that run now

A result is written to a folder in `tmp`, flushed, and renamed: it is there as a whole or not at all. Its
digest is one of the files that later stages depend on, so that a stage that ran again with the same result
makes no other run again. For each stage the results that were used last are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import xxhash

from mfc.runtime.disk import Lock, disk_error, flush, make_folder, remove, write_file, writes
from mfc.runtime.errors import RunError
from mfc.runtime.hashcache import HashCache, digest_file
from mfc.runtime.stagekey import FORMAT, Record, explain

KEEP = 5
"""Results of one stage that are kept beside those of the last runs: the last used ones."""

KEEP_WORK = 2
"""Interrupted runs of one stage whose work is kept."""

MANIFEST = "artifact.json"


def store_folder(spec: str | os.PathLike[str], chosen: str | os.PathLike[str] | None = None) -> Path:
    """Where the store of a spec is: the folder that was chosen, else the folder MFC_STORE if set, else `.mfc` beside
    the spec."""
    if folder := chosen if chosen is not None else os.environ.get("MFC_STORE"):
        return Path(folder).expanduser().absolute()
    return Path(spec).absolute().parent / ".mfc"


@dataclass(frozen=True)
class Artifact:
    """The result of a stage: files in a folder. `digest` is one of what later stages depend on."""

    stage: str
    key: str
    folder: Path
    digest: str
    files: Mapping[str, int]
    """Names relative to the folder, and sizes in bytes."""


class Writing:
    """A result in the making. `folder` takes its files; `partial` is kept if the run is interrupted."""

    def __init__(self, folder: Path, partial: Path) -> None:
        self.folder = folder
        self._partial = partial
        self._counted: set[str] | None = None
        self.artifact: Artifact | None = None
        """The result, once it is whole."""

    @property
    def partial(self) -> Path:
        """A folder for checkpoints, with what an interrupted run of the key left. Removed on success."""
        return make_folder(self._partial)

    def adopt(self) -> None:
        """Puts the files of `partial` into the result. Until that is whole they stay in `partial` too: a
        process that is killed in between loses nothing."""
        for path in _files(self._partial):
            to = self.folder / path.relative_to(self._partial)
            make_folder(to.parent)
            try:
                os.link(path, to)
            except OSError:  # a file system without links
                shutil.copy2(path, to)

    def depends_on(self, *names: str) -> None:
        """Says which files later stages depend on: only these make the digest; if never called, all do."""
        self._counted = (self._counted or set()) | set(names)


class Store:
    """Artifacts in a folder, which is made when the first is written."""

    def __init__(self, folder: str | os.PathLike[str], keep: int = KEEP) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def lookup(self, stage: str, key: str) -> Artifact | None:
        """The result of a stage with that key, if it is there and whole."""
        folder = self._folder("artifacts", stage, key)
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            whole = manifest["format"] == FORMAT and all(
                (folder / name).stat().st_size == size for name, size in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError):
            return None
        if not whole:
            return None
        with contextlib.suppress(OSError):  # the time of last use; a store that can only be read does without
            os.utime(folder / MANIFEST)
        return Artifact(stage, key, folder, manifest["digest"], manifest["files"])

    def newest(self, stage: str) -> Artifact | None:
        """The result of a stage that was used last, of whatever key."""
        try:
            folders = _newest_first(self.folder / "artifacts" / file_name(stage), MANIFEST)
        except OSError:
            return None
        found = (self.lookup(stage, folder.name) for folder in folders)
        return next((artifact for artifact in found if artifact is not None), None)

    @contextlib.contextmanager
    def writing(self, stage: str, key: str) -> Iterator[Writing]:
        """Runs a stage: its body writes files to `.folder`. With its end they are the stage's result.

        Where the body raises, nothing remains but `.partial`.

        Raises:
            RunError: R0305, another process runs the same stage; R0301 to R0303, the disk does not let us.
        """
        with self._locked(stage, key):
            temporary = self._folder("tmp", stage, key)
            remove(temporary)
            result = Writing(make_folder(temporary), self._folder("work", stage, key))
            try:
                yield result
                with writes(self.folder):
                    result.artifact = self._commit(stage, key, result)
            except Exception as error:
                told = None if isinstance(error, RunError) else self._told(error)
                if told is None:
                    raise
                raise told from error
            finally:
                remove(temporary)
        self._prune(stage)

    def partial(self, stage: str, key: str) -> Path | None:
        """The folder with what an interrupted run left, if there is any."""
        folder = self._folder("work", stage, key)
        return folder if folder.is_dir() and any(folder.iterdir()) else None

    def last(self, spec: str, stage: str) -> Record | None:
        """What the key of a stage's last run was made of. `spec` is any name that tells specs apart."""
        try:
            return Record(**json.loads(self._record_path(spec, stage).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def remember(self, spec: str, record: Record) -> None:
        """Notes what a stage's key is made of, when it ran or was found up to date."""
        if self.last(spec, record.stage) != record:
            self._ready()
            write_file(self._record_path(spec, record.stage), json.dumps(asdict(record)).encode())

    def reasons(self, spec: str, record: Record) -> list[str]:
        """Why a stage would run: none where its result is there. See `mfc.runtime.stagekey.explain`."""
        if self.lookup(record.stage, record.key) is not None:
            return []
        old = self.last(spec, record.stage)
        if self.partial(record.stage, record.key) is not None:
            return [*(explain(old, record) if old else []), "was not finished; what it kept is used"]
        return explain(old, record) or ["its result is no longer in the store"]

    def digests(self, root: str | os.PathLike[str]) -> HashCache:
        """The digests of the files below a folder of data."""
        with contextlib.suppress(RunError):
            self._ready()
        return HashCache(self.folder / "digests", root)

    # ── the inside ──────────────────────────────────────────────────────────────────────────────────────

    def _folder(self, part: str, stage: str, key: str) -> Path:
        return self.folder / part / file_name(stage) / key

    def _record_path(self, spec: str, stage: str) -> Path:
        return self.folder / "runs" / file_name(spec) / f"{file_name(stage)}.json"

    def _ready(self) -> None:
        """Makes the store's folder, and keeps it out of version control."""
        if not self.folder.is_dir():
            make_folder(self.folder)
            write_file(self.folder / ".gitignore", b"*\n")

    @contextlib.contextmanager
    def _locked(self, stage: str, key: str) -> Iterator[None]:
        self._ready()
        lock = Lock(self._lock_path(stage, key))
        if not lock.acquire(patience=0.5):  # another process may look for a moment whether it is held
            raise RunError(
                "R0305", f"`{stage}` is already being run by {lock.holder()}",
                "wait until it is done; then the result is there and is not made again",
            )  # fmt: skip
        try:
            yield
        finally:
            lock.release()

    def _lock_path(self, stage: str, key: str) -> Path:
        return self.folder / "locks" / f"{file_name(stage)}-{key}"

    def _told(self, error: Exception) -> RunError | None:
        """What to tell of an error in a stage's body: the disk is full, or the store can't be written. Other
        errors of the system are about other things, such as the data that the stage reads."""
        path = getattr(error, "filename", None)
        told = disk_error(error, path or self.folder)
        own = path is not None and str(path).startswith(str(self.folder))
        return told if told is not None and (own or told.code == "R0301") else None

    def _commit(self, stage: str, key: str, result: Writing) -> Artifact:
        """Makes what was written the stage's result: flushed first, then renamed."""
        files = {path.relative_to(result.folder).as_posix(): path for path in _files(result.folder)}
        counted = result._counted if result._counted is not None else set(files)
        if unknown := counted - set(files):
            raise ValueError(f"no file {min(unknown)} was written for {stage}")
        state = xxhash.xxh3_128()
        for name in sorted(counted):
            state.update(name.encode() + b"\0" + digest_file(files[name]))
        sizes = {name: path.stat().st_size for name, path in sorted(files.items())}
        manifest = {
            "format": FORMAT, "stage": stage, "key": key, "digest": state.hexdigest(), "files": sizes,
            "depends_on": sorted(counted),
        }  # fmt: skip
        (result.folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
        for path in [*result.folder.rglob("*"), result.folder]:
            flush(path)
        final = self._folder("artifacts", stage, key)
        make_folder(final.parent)
        self._discard(final)
        os.rename(result.folder, final)
        flush(final.parent)
        remove(result._partial)
        return Artifact(stage, key, final, manifest["digest"], sizes)

    def _discard(self, folder: Path) -> None:
        """Removes a result: renamed first, so that no half of it is found."""
        if folder.exists():
            aside = make_folder(self.folder / "tmp" / "removed") / f"{folder.name}-{os.getpid()}"
            os.rename(folder, aside)
            remove(aside)

    def _prune(self, stage: str) -> None:
        """Removes the results and the work that were not used for longest, and what killed processes left."""
        with contextlib.suppress(OSError):
            recent = _newest_first(self.folder / "artifacts" / file_name(stage), MANIFEST)
            last = self._last_keys(stage)
            for folder in [f for f in recent if f.name not in last][self.keep :]:
                self._discard(folder)
        with contextlib.suppress(OSError):
            for folder in _newest_first(self.folder / "work" / file_name(stage))[KEEP_WORK:]:
                self._remove_unless_locked(folder)
        with contextlib.suppress(OSError):
            for folder in (self.folder / "tmp").glob("*/*"):
                self._remove_unless_locked(folder)

    def _last_keys(self, stage: str) -> set[str]:
        """The keys of the last runs of that stage in all specs."""
        keys = set()
        for path in (self.folder / "runs").glob(f"*/{file_name(stage)}.json"):
            with contextlib.suppress(OSError, ValueError, TypeError):
                keys.add(Record(**json.loads(path.read_bytes())).key)
        return keys

    def _remove_unless_locked(self, folder: Path) -> None:
        lock = Lock(self.folder / "locks" / f"{folder.parent.name}-{folder.name}")
        if lock.acquire():
            remove(folder)
            lock.release()


def file_name(name: str) -> str:
    """A name as one of a file: what file systems do not take is replaced, and a hash tells the two apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:60]
    return plain if plain == name else f"{plain}-{xxhash.xxh3_64_hexdigest(name.encode())[:8]}"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _newest_first(folder: Path, inside: str = "") -> list[Path]:
    """The folders in a folder, by the time of change of themselves or of a file inside."""

    def changed(path: Path) -> int:
        try:
            return (path / inside).stat().st_mtime_ns
        except OSError:
            return 0

    return sorted((path for path in folder.iterdir() if path.is_dir()), key=changed, reverse=True)
