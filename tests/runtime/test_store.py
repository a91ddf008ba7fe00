"""The store: a result is there as a whole or not at all, whatever happens in between."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfc.dsl.ir import Call, Stage
from mfc.runtime.disk import Lock, replacing, write_file
from mfc.runtime.errors import RunError
from mfc.runtime.stagekey import Record, record
from mfc.runtime.store import Artifact, Store, file_name, store_folder

FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / ".mfc")


def write(
    store: Store, stage: str, key: str, files: dict[str, str], counted: tuple[str, ...] = ()
) -> Artifact:
    with store.writing(stage, key) as result:
        for name, text in files.items():
            (result.folder / name).parent.mkdir(exist_ok=True)
            (result.folder / name).write_text(text)
        if counted:
            result.depends_on(*counted)
    assert result.artifact is not None
    return result.artifact


def recorded(stage: str, lr: float = 1e-3) -> Record:
    return record(
        Stage(stage, "train", {"optimizer": Call("optimizer", "adam", "m:adam", {"lr": lr})}), {}, {}
    )


# ── results ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_result_is_found_by_its_key(store: Store) -> None:
    assert store.lookup("fit", "k1") is None
    made = write(store, "fit", "k1", {"model.bin": "weights", "sub/log.txt": "log"})
    assert store.lookup("fit", "k1") == made
    assert made.files == {"model.bin": 7, "sub/log.txt": 3}
    assert (made.folder / "sub/log.txt").read_text() == "log"
    assert store.lookup("fit", "k2") is None
    assert store.lookup("other", "k1") is None


def test_the_layout(store: Store) -> None:
    write(store, "fit", "k1", {"a": "1"})
    store.remember("cifar.mfs", recorded("fit"))
    found = sorted(p.relative_to(store.folder).as_posix() for p in store.folder.rglob("*") if p.is_file())
    assert found == [
        ".gitignore",
        "artifacts/fit/k1/a",
        "artifacts/fit/k1/artifact.json",
        "runs/cifar.mfs/fit.json",
    ]
    assert json.loads((store.folder / "artifacts/fit/k1/artifact.json").read_text())["stage"] == "fit"


def test_the_digest_is_one_of_what_later_stages_depend_on(store: Store) -> None:
    one = write(store, "fit", "k1", {"model": "a", "log": "1"}, counted=("model",))
    two = write(store, "fit", "k2", {"model": "a", "log": "2"}, counted=("model",))
    other = write(store, "fit", "k3", {"model": "b", "log": "1"}, counted=("model",))
    whole = write(store, "fit", "k4", {"model": "a", "log": "1"})
    assert one.digest == two.digest
    assert len({one.digest, other.digest, whole.digest}) == 3
    renamed = write(store, "fit", "k5", {"modex": "a"}, counted=("modex",))
    assert renamed.digest != one.digest


def test_a_result_that_was_damaged_is_not_found(store: Store) -> None:
    made = write(store, "fit", "k1", {"model": "weights"})
    (made.folder / "model").write_text("weigh")
    assert store.lookup("fit", "k1") is None
    assert store.lookup("fit", "k1") != write(store, "fit", "k1", {"model": "weights"})
    (made.folder / "artifact.json").write_text("{")
    assert store.lookup("fit", "k1") is None


def test_a_result_is_made_again_over_the_old_one(store: Store) -> None:
    write(store, "fit", "k1", {"a": "1", "b": "1"})
    again = write(store, "fit", "k1", {"a": "2"})
    assert again.files == {"a": 1}
    assert store.lookup("fit", "k1") == again
    assert (again.folder / "a").read_text() == "2"


def test_nothing_remains_of_what_failed(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing("fit", "k1") as result:
        (result.folder / "a").write_text("1")
        raise ZeroDivisionError
    assert store.lookup("fit", "k1") is None
    assert not any((store.folder / "tmp").rglob("a"))
    with pytest.raises(KeyboardInterrupt), store.writing("fit", "k1") as result:
        (result.partial / "checkpoint").write_text("epoch 3")
        raise KeyboardInterrupt
    assert store.lookup("fit", "k1") is None


def test_what_an_interrupted_run_left_is_there_for_the_next(store: Store) -> None:
    assert store.partial("fit", "k1") is None
    with pytest.raises(KeyboardInterrupt), store.writing("fit", "k1") as result:
        (result.partial / "checkpoint").write_text("epoch 3")
        raise KeyboardInterrupt
    folder = store.partial("fit", "k1")
    assert folder is not None and (folder / "checkpoint").read_text() == "epoch 3"
    assert store.partial("fit", "k2") is None
    with store.writing("fit", "k1") as result:
        assert (result.partial / "checkpoint").read_text() == "epoch 3"
        result.adopt()
    assert result.artifact is not None and result.artifact.files == {"checkpoint": 7}
    assert store.partial("fit", "k1") is None


def test_a_file_that_counts_must_be_there(store: Store) -> None:
    with (
        pytest.raises(ValueError, match="no file model was written for fit"),
        store.writing("fit", "k1") as result,
    ):
        result.depends_on("model")


def test_names_of_stages_become_names_of_files() -> None:
    assert file_name("cifar.items") == "cifar.items"
    assert file_name("fit(2, backwards=true)").startswith("fit_2_backwards_true-")
    names = ["fit(1)", "fit[1]", "fit_1", "../up", "a/b", "a\\b", "", ".", "con:", "é", "x" * 300]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert all(
        re.fullmatch(r"[A-Za-z0-9_.-]{0,60}(-[0-9a-f]{8})?", f) and not f.startswith(".") for f in files
    )


def test_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MFC_STORE", raising=False)
    assert store_folder(tmp_path / "a.mfs") == tmp_path / ".mfc"
    monkeypatch.setenv("MFC_STORE", str(tmp_path / "results"))
    assert store_folder("/somewhere/a.mfs") == tmp_path / "results"
    assert store_folder("/somewhere/a.mfs", "~/kept") == Path.home() / "kept"


# ── how much is kept ────────────────────────────────────────────────────────────────────────────────────


def test_the_results_used_last_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=2)
    last = recorded("fit")
    write(store, "fit", last.key, {"a": "1"})
    store.remember("cifar.mfs", last)
    for i in range(4):
        write(store, "fit", f"k{i}", {"a": str(i)})
        os.utime(tmp_path / "artifacts/fit" / f"k{i}" / "artifact.json", ns=(i * 10**9, i * 10**9))
        if i == 2:
            assert store.lookup("fit", "k1") is not None  # used last, though not made last
    write(store, "other", "k1", {"a": "1"})
    kept = {p.name for p in (tmp_path / "artifacts/fit").iterdir()}
    assert kept == {last.key, "k1", "k3"}
    assert store.lookup("other", "k1") is not None
    assert not any((tmp_path / "tmp").rglob("a"))


def test_the_work_of_few_interrupted_runs_is_kept(store: Store) -> None:
    for i in range(4):
        with pytest.raises(KeyboardInterrupt), store.writing("fit", f"k{i}") as result:
            (result.partial / "checkpoint").write_text(str(i))
            os.utime(result.partial, ns=(i * 10**9, i * 10**9))
            raise KeyboardInterrupt
    write(store, "fit", "k9", {"a": "1"})
    assert [i for i in range(4) if store.partial("fit", f"k{i}") is not None] == [2, 3]


# ── why a stage runs ────────────────────────────────────────────────────────────────────────────────────


def test_the_last_run_is_remembered(store: Store) -> None:
    first, second = recorded("fit", 3e-3), recorded("fit", 1e-3)
    assert store.last("a.mfs", "fit") is None
    store.remember("a.mfs", first)
    assert store.last("a.mfs", "fit") == first
    assert store.last("b.mfs", "fit") is None
    store.remember("a.mfs", second)
    assert store.last("a.mfs", "fit") == second
    (path,) = (store.folder / "runs").rglob("*.json")
    path.write_text("[]")
    assert store.last("a.mfs", "fit") is None


def test_reasons(store: Store) -> None:
    first, second = recorded("fit", 3e-3), recorded("fit", 1e-3)
    assert store.reasons("a.mfs", first) == ["never run"]
    made = write(store, "fit", first.key, {"a": "1"})
    store.remember("a.mfs", first)
    assert store.reasons("a.mfs", first) == []
    assert store.reasons("a.mfs", second) == ["optimizer.lr: 3e-3 -> 1e-3"]
    with pytest.raises(KeyboardInterrupt), store.writing("fit", second.key) as result:
        (result.partial / "checkpoint").write_text("1")
        raise KeyboardInterrupt
    assert store.reasons("a.mfs", second) == [
        "optimizer.lr: 3e-3 -> 1e-3",
        "was not finished; what it kept is used",
    ]
    (made.folder / "a").unlink()
    assert store.reasons("a.mfs", first) == ["its result is no longer in the store"]


# ── several processes ───────────────────────────────────────────────────────────────────────────────────


def test_two_runs_of_one_stage(store: Store) -> None:
    with store.writing("fit", "k1") as result:
        with pytest.raises(RunError) as caught, store.writing("fit", "k1"):
            pytest.fail("both run")
        with store.writing("fit", "k2") as other:  # another key is another result
            (other.folder / "a").write_text("2")
        (result.folder / "a").write_text("1")
    assert str(caught.value) == (
        f"error[R0305]: `fit` is already being run by process {os.getpid()}\n"
        "  = help: wait until it is done; then the result is there and is not made again"
    )
    assert store.lookup("fit", "k1") and store.lookup("fit", "k2")
    assert list((store.folder / "locks").iterdir()) == []


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = f"""
        import os, pathlib
        from mfc.runtime.disk import Lock
        assert Lock(pathlib.Path({str(tmp_path / "lock")!r})).acquire()
        os._exit(9)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)]).returncode == 9
    lock = Lock(tmp_path / "lock")
    assert lock.acquire()
    assert not Lock(tmp_path / "lock").acquire()
    lock.release()
    assert not (tmp_path / "lock").exists()


def test_one_process_at_a_time_has_a_lock(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    code = f"""
        import pathlib
        from mfc.runtime.disk import Lock
        folder = pathlib.Path({str(tmp_path)!r})
        for _ in range(50):
            lock = Lock(folder / "lock")
            while not lock.acquire(patience=1):
                pass
            number = int((folder / "number").read_text())
            (folder / "number").write_text(str(number + 1))
            lock.release()
    """
    processes = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "150"


# ── killed in between ───────────────────────────────────────────────────────────────────────────────────

STEPS = ("open", "replace", "rename", "fsync", "unlink", "rmdir", "mkdir", "link", "utime", "close")


def killed(run: Callable[[], object], after: int) -> bool:
    """Runs something in a process that dies at its n-th call of the system; whether it got there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: this child starts none
        pid = os.fork()
    if pid == 0:
        left = after

        def dying(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                nonlocal left
                if left == 0:
                    os._exit(9)
                left -= 1
                return real(*args, **kwargs)

            return call

        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        try:
            run()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 9)
    return status == 9


@FIXED
@given(after=st.integers(0, 80), old=st.booleans())
def test_a_process_killed_at_any_moment(
    tmp_path_factory: pytest.TempPathFactory, after: int, old: bool
) -> None:
    store = Store(tmp_path_factory.mktemp("store"), keep=1)
    before, files = {"a": "old", "b": "old"}, {"a": "new!", "sub": "new!"}
    if old:
        write(store, "fit", "k1", before)

    def run() -> None:
        with store.writing("fit", "k1") as result:
            write_file(result.partial / "checkpoint", b"1")
            for name, text in files.items():
                (result.folder / name).write_text(text)
            result.adopt()

    died = killed(run, after)
    found = store.lookup("fit", "k1")
    if found is not None:
        there = {p.name: p.read_text() for p in found.folder.iterdir() if p.name != "artifact.json"}
        assert there in ([before] if old else []) + [files | {"checkpoint": "1"}]
    assert died or found is not None
    again = write(store, "fit", "k1", files)
    assert store.lookup("fit", "k1") == again and again.files.keys() == files.keys()
    assert not any(p.is_file() for p in (store.folder / "tmp").rglob("*"))
    write(store, "fit", "k2", files)
    assert {p.name for p in (store.folder / "artifacts/fit").iterdir()} == {"k2"}


@FIXED
@given(st.integers(0, 12))
def test_a_file_is_the_old_or_the_new_one(tmp_path_factory: pytest.TempPathFactory, after: int) -> None:
    path = tmp_path_factory.mktemp("folder") / "file"
    write_file(path, b"old")
    died = killed(lambda: write_file(path, b"new"), after)
    assert path.read_bytes() in ((b"old", b"new") if died else (b"new",))


# ── what the disk refuses ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_space(store: Store, number: int) -> None:
    with pytest.raises(RunError) as caught, store.writing("fit", "k1"):
        raise OSError(number, "no space")  # as writing to an open file raises it, without a name
    assert str(caught.value) == (
        f"error[R0301]: no space left to write {store.folder}\n"
        "  = note: what was finished before is kept; the next run goes on from there\n"
        "  = help: free some space, or keep results elsewhere: --store FOLDER, or MFC_STORE"
    )
    assert store.lookup("fit", "k1") is None


def test_no_space_as_safetensors_says_it(tmp_path: Path) -> None:
    text = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(RunError) as caught, replacing(tmp_path / "model.safetensors"):
        raise RuntimeError(text)
    assert caught.value.code == "R0301"
    with pytest.raises(RuntimeError, match="other"), replacing(tmp_path / "model.safetensors"):
        raise RuntimeError("other")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(RunError) as caught, Store(tmp_path / ".mfc").writing("fit", "k1"):
        pytest.fail("ran")
    assert str(caught.value) == (
        f"error[R0302]: no permission to write {tmp_path}/.mfc\n"
        "  = help: make the folder writable, or keep results elsewhere: --store FOLDER, or MFC_STORE"
    )


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / ".mfc").write_text("")
    with pytest.raises(RunError) as caught, Store(tmp_path / ".mfc").writing("fit", "k1"):
        pytest.fail("ran")
    assert str(caught.value) == (
        f"error[R0303]: can't write {tmp_path}/.mfc: File exists\n"
        "  = help: see to the disk, or keep results elsewhere: --store FOLDER, or MFC_STORE"
    )


def test_errors_of_a_stage_itself_are_left_alone(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), store.writing("fit", "k1"):
        (tmp_path / "data.csv").read_text()
    with pytest.raises(BrokenPipeError), store.writing("fit", "k1"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    with pytest.raises(RunError, match="R0101"), store.writing("fit", "k1"):
        raise RunError("R0101", "no such folder")


def test_a_store_that_can_only_be_read_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write(store, "fit", "k1", {"a": "1"})
    last = recorded("fit")
    store.remember("a.mfs", last)

    def refuse(path: object, *_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system", str(path))

    for name in ("utime", "mkdir", "replace", "rename", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    assert store.lookup("fit", "k1") == made
    store.remember("a.mfs", last)
    assert store.last("a.mfs", "fit") == last


def test_the_store_needs_no_torch() -> None:
    code = "import sys, mfc.runtime.store; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
