"""`mfc docs`: what it prints to files, to terminals, and for other programs."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from mfc.cli import main
from mfc.dsl.explain import explain
from mfc.terminal import laid_out

ESCAPE = re.compile(r"\x1b\[[\d;]*m")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["docs", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def in_terminal(*arguments: str, columns: int = 60, **environment: str) -> str:
    """What a command prints in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    settings: Mapping[str, str] = {
        **{name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "LESS")},
        "TERM": "xterm", "COLUMNS": str(columns), "LINES": "20", "PAGER": "cat", **environment,
    }  # fmt: skip
    command = [sys.executable, "-m", "mfc", *arguments]
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=settings)
    os.close(theirs)
    read = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        read += piece
    os.close(ours)
    assert running.wait() == 0
    return read.decode().replace("\r\n", "\n")


# ── for pipes and files ─────────────────────────────────────────────────────────────────────────────────


def test_a_name_gives_its_text_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "conv2d")
    assert out.startswith("# conv2d\n\n```mfs\nconv2d(\n    nf: int at least 1,\n")
    assert "- `ks: int at least 1 = 3`: kernel size, of a square kernel.\n" in out
    assert "`conv2d(nf, bias = false)` in `cifar10_fast`" in out
    assert out.endswith("`mfc.runtime.layers.conv.conv2d`\n")


def test_a_name_of_several_kinds_and_several_names_give_all(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "flip", "E0204")
    assert "*Item transform.*" in out and "*Batch transform.*" in out
    assert out.endswith(explain("E0204") or "")


def test_a_declaration_tells_of_fields_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "data")
    assert "- `source: source` (needed): where the items come from.\n" in out
    assert "\nSee also `train.data` (field of a train), `phase.data` (field of a phase)" in out


def test_without_a_name_all_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    out = printed(capsys)
    assert out.startswith("Declarations\n  import  use  language  param  let  data")
    assert "\nRates\n  spread\n" in out and " E0204 " in out and "  std/unet  " in out
    assert max(map(len, out.splitlines())) <= 70


def test_words_are_searched_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = printed(capsys, "--search", "lsuv", "mishkin")
    assert out == (
        "lsuv  (initializer)\n"
        "  Scales weights until each layer gives unit variance on the data (Mishkin and\n"
        "  Matas, 2015).\n"
        "initializer  (kind of components)\n"
        "  Gives a fresh model its first weights.\n"
    )


def test_json_is_for_other_programs(capsys: pytest.CaptureFixture[str]) -> None:
    (conv,) = json.loads(printed(capsys, "--json", "conv2d"))
    assert conv["kind"] == "layer" and conv["facts"]["shape"].startswith("b c h w -> ")
    assert conv["arguments"][1] == {
        "name": "ks", "type": "int at least 1", "required": False, "default": 3,
        "summary": "kernel size, of a square kernel.",
    }  # fmt: skip
    (epochs, _) = json.loads(printed(capsys, "--json", "epochs"))
    assert epochs["name"] == "train.epochs" and epochs["required"] is False
    listed = json.loads(printed(capsys, "--json"))
    assert len(listed) > 500 and set(listed[0]) == {"name", "kind", "group", "summary"}
    assert [
        e["name"] for e in json.loads(printed(capsys, "--json", "--search", "batchnorm", "zero_init"))
    ] == ["batchnorm"]


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["conv2"], "error: the reference has no `conv2`\n  = help: did you mean `conv2d`?\n"),
        (
            ["zzzzzzzz"],
            "error: the reference has no `zzzzzzzz`\n  = help: `mfc docs` lists all that there is\n",
        ),
        (["--search", "zz", "yy"], "error: no text of the reference has all of `zz yy`\n"),
        (["--search"], "error: say what to search for\n"),
    ],
)
def test_what_is_not_there(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(told)


# ── for terminals ───────────────────────────────────────────────────────────────────────────────────────


def test_a_terminal_has_colours_and_its_own_width() -> None:
    shown = in_terminal("docs", "one_cycle")
    plain = ESCAPE.sub("", shown)
    assert plain != shown and "```" not in plain and "**" not in plain
    assert plain.startswith("one_cycle\n─────────\n")
    assert max(map(len, plain.splitlines())) <= 60


def test_no_colour_where_none_is_wanted() -> None:
    shown = in_terminal("docs", "one_cycle", NO_COLOR="1")
    assert "\x1b" not in shown and "```" not in shown
    dumb = in_terminal("docs", "one_cycle", TERM="dumb")
    assert "\x1b" not in dumb and dumb.startswith("# one_cycle\n\n```mfs\n")


def test_what_is_longer_than_the_terminal_goes_to_the_pager() -> None:
    head = f"{sys.executable} -c \"import sys; print('paged:', sys.stdin.readline())\""
    assert ESCAPE.sub("", in_terminal("docs", "one_cycle", PAGER=head)) == "paged: one_cycle\n\n"
    assert "paged" not in in_terminal("docs", "true", PAGER=head)
    assert ESCAPE.sub("", in_terminal("docs", PAGER=head)).startswith("paged: Declarations")


def test_explain_is_laid_out_in_the_same_way() -> None:
    assert in_terminal("explain", "E0204") == in_terminal("docs", "E0204")


def test_markdown_is_laid_out_for_a_width() -> None:
    text = explain("E0204") or ""
    for width in (40, 80):
        lines = laid_out(text, width, colour=False).splitlines()
        assert max(map(len, lines)) <= width
        assert any("rotat(10)" in line for line in lines)
    assert "\x1b[36mbatch_transforms\x1b[0m" in laid_out(text, 80, colour=True)
