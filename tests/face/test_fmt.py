"""`mfc fmt`: which files it writes, what it says, and with which exit status; and that no stage runs again after it."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest

import mfc
from mfc import formatting
from mfc.cli import main
from mfc.dsl.format import format
from mfc.job import Job
from mfc.runtime.stagekey import record
from mfc.spec import read
from tests.dsl.generated_specs import scrambled

SPECS = Path(mfc.__file__).parent / "specs"
UNTIDY, TIDY = "let  a=1\n", "let a = 1\n"
BROKEN = "let a = [1,\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Streams:
    """Standard input with given bytes, and standard output that keeps them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, given: bytes) -> None:
        self.out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        monkeypatch.setattr("sys.stdout", self.out)

    @property
    def written(self) -> bytes:
        self.out.flush()
        buffer = self.out.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()


def test_files_are_formatted_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.mfs").write_text(UNTIDY)
    Path("b.mfs").write_text(TIDY)
    before = Path("b.mfs").stat()
    assert main(["fmt", "a.mfs", "b.mfs"]) == 0
    assert capsys.readouterr() == ("formatted a.mfs\n", "")
    assert Path("a.mfs").read_text() == TIDY
    after = Path("b.mfs").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), (
        "what is right is not written"
    )
    assert sorted(os.listdir()) == ["a.mfs", "b.mfs"]


def test_check_names_what_would_change_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.mfs").write_text(UNTIDY)
    Path("b.mfs").write_text(TIDY)
    assert main(["fmt", "--check", "a.mfs", "b.mfs"]) == 1
    assert capsys.readouterr() == ("would format a.mfs\n", "")
    assert Path("a.mfs").read_text() == UNTIDY
    assert main(["fmt", "--check", "b.mfs"]) == 0
    assert capsys.readouterr() == ("", "")


def test_diff_shows_what_would_change(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.mfs").write_text("let b = 2\nlet  a=1")
    expected = "--- a.mfs\n+++ a.mfs\n@@ -1,2 +1,2 @@\n let b = 2\n-let  a=1\n\\ No newline at end of file\n"
    expected += "+let a = 1\n"
    assert main(["fmt", "--diff", "a.mfs"]) == 0
    assert capsys.readouterr() == (expected, "")
    assert main(["fmt", "--diff", "--check", "a.mfs"]) == 1
    assert capsys.readouterr() == (expected, "")
    assert Path("a.mfs").read_text() == "let b = 2\nlet  a=1"


def test_what_cant_be_parsed_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.mfs").write_text(UNTIDY + BROKEN)
    Path("good.mfs").write_text(UNTIDY)
    assert main(["fmt", "bad.mfs", "good.mfs"]) == 2
    out, err = capsys.readouterr()
    assert out == "formatted good.mfs\n"
    assert err.startswith("error[E0102]: `[` is never closed\n --> bad.mfs:2:9\n") and err.endswith(
        "1 error in bad.mfs\n"
    )
    assert Path("bad.mfs").read_text() == UNTIDY + BROKEN
    assert Path("good.mfs").read_text() == TIDY
    assert main(["fmt", "--check", "bad.mfs"]) == 2


def test_mistakes_beyond_syntax_are_not_its_business() -> None:
    Path("wrong.mfs").write_text("let  a=b\n")
    assert main(["fmt", "wrong.mfs"]) == 0
    assert Path("wrong.mfs").read_text() == "let a = b\n"


def test_folders_stand_for_all_specs_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("specs/b.mfs", "specs/deep/a.mfs", "specs/.venv/c.mfs", "specs/a.txt", "elsewhere/d.mfs"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(UNTIDY)
    Path("specs/link").symlink_to(Path("elsewhere").resolve())
    os.mkfifo("specs/pipe.mfs")
    assert main(["fmt", "specs"]) == 0
    assert capsys.readouterr().out == "formatted specs/b.mfs\nformatted specs/deep/a.mfs\n"
    assert main(["fmt", "specs/link"]) == 0
    assert capsys.readouterr().out == "formatted specs/link/d.mfs\n"
    Path("empty").mkdir()
    assert main(["fmt", "--check", "empty"]) == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"let  a=1", b"let a = 1\n"),
        (b"let  a=1\r\nlet b=2\r\n", b"let a = 1\r\nlet b = 2\r\n"),
        ('\ufefflet  a="é"'.encode(), '\ufefflet a = "é"\n'.encode()),
        (b"", b""),
    ],
)
def test_standard_input_goes_to_standard_output(
    given: bytes, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams(monkeypatch, given)
    assert main(["fmt", "-"]) == 0
    assert streams.written == expected


def test_standard_input_that_cant_be_formatted_gives_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    streams = Streams(monkeypatch, BROKEN.encode())
    assert main(["fmt", "-"]) == 2
    assert streams.written == b""
    assert " --> <stdin>:1:9" in capsys.readouterr().err
    streams = Streams(monkeypatch, UNTIDY.encode())
    assert main(["fmt", "--check", "-"]) == 1
    assert streams.written == b"would format <stdin>\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "error: can't format a.mfs: no such file or directory\n"),
        (b"let a = 1\n# \xff\n", "error: can't format a.mfs: line 2 has a byte that is no text in utf-8\n"),
    ],
)
def test_what_cant_be_read_is_said(
    content: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path("a.mfs").write_bytes(content)
    Path("b.mfs").write_text(UNTIDY)
    assert main(["fmt", "a.mfs", "b.mfs"]) == 2
    assert capsys.readouterr() == ("formatted b.mfs\n", said)
    assert content is None or Path("a.mfs").read_bytes() == content


def test_what_cant_be_written_is_said_and_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.mfs").write_text(UNTIDY)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mfc.runtime.disk.os.replace", full)
    assert main(["fmt", "a.mfs"]) == 2
    assert (
        capsys.readouterr().err
        == f"error: can't format a.mfs: no space left to write {Path('a.mfs').resolve()}\n"
    )
    assert Path("a.mfs").read_text() == UNTIDY and os.listdir() == ["a.mfs"]


def test_a_read_only_file_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.mfs").write_text(UNTIDY)
    monkeypatch.setattr(formatting.os, "access", lambda *_: False)  # root may write anything
    assert main(["fmt", "a.mfs"]) == 2
    assert capsys.readouterr().err == "error: can't format a.mfs: permission denied\n"
    assert Path("a.mfs").read_text() == UNTIDY


def test_permissions_and_links_stay() -> None:
    Path("a.mfs").write_text(UNTIDY)
    Path("a.mfs").chmod(0o640)
    Path("link.mfs").symlink_to("a.mfs")
    assert main(["fmt", "link.mfs"]) == 0
    assert Path("link.mfs").is_symlink() and Path("a.mfs").read_text() == TIDY
    assert Path("a.mfs").stat().st_mode & 0o777 == 0o640


# ── meaning ─────────────────────────────────────────────────────────────────────────────────────────────────


def keys(spec: Path) -> dict[str, str] | None:
    """The keys of a spec's stages, as they would be if each input had its stage's key for a content."""
    loaded = read(spec, {}, opening=True)
    if not loaded.ok:
        return None
    found: dict[str, str] = {}
    for stage in Job(loaded).plan():
        found[stage.name] = record(stage, {name: found[name] for name in stage.inputs}, {}).key
    return found


CASES = Path(__file__).parents[1] / "cases" / "check"
RUNNABLE = [spec for spec in [*SPECS.rglob("*.mfs"), *CASES.rglob("*.mfs")] if keys(spec)]


def test_most_specs_have_stages() -> None:
    assert len(RUNNABLE) >= 15


@pytest.mark.parametrize("spec", RUNNABLE, ids=lambda spec: "/".join(spec.parts[-2:]))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_stage_runs_again_after_formatting(spec: Path, seed: int, tmp_path: Path) -> None:
    shutil.copytree(spec.parent, tmp_path / "copy")  # with what it imports and uses
    copy = tmp_path / "copy" / spec.name
    copy.write_bytes(scrambled(spec.read_text(), seed).encode())
    assert main(["fmt", str(copy)]) == 0
    assert copy.read_bytes().decode() == format(scrambled(spec.read_text(), seed))
    assert keys(copy) == keys(spec)
