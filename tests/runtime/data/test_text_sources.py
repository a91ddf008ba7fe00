"""Text files: which are found, and what their text is."""

from __future__ import annotations

import codecs
import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfc.runtime.data.files import list_files
from mfc.runtime.data.text_sources import builtin_texts, text_files
from mfc.runtime.errors import RunError

FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def one(tmp_path):
    """Writes bytes as the only text of a folder, and opens it as a source with some arguments does."""

    def write_and_open(data, **arguments):
        (tmp_path / "a.txt").write_bytes(data)
        return text_files(tmp_path, **arguments).open("a.txt")

    return write_and_open


def test_finds_texts_below_in_sorted_order(touch):
    root = touch("pos/2.txt", "pos/10.TXT", "neg/1.txt", "README.md", ".git/x.txt", "txt", "a.jpg")
    assert text_files(root).scan() == ["neg/1.txt", "pos/10.TXT", "pos/2.txt"]
    assert text_files(root, extensions=[".md"]).scan() == ["README.md"]
    assert text_files(root, folders=["pos"]).scan() == ["pos/10.TXT", "pos/2.txt"]
    assert text_files(root, extensions=["md", "txt"], recurse=False).scan() == ["README.md"]
    assert text_files(root, hidden=True).scan()[0] == ".git/x.txt"


def test_no_texts_and_no_folder(touch):
    root = touch("a.jpg", "b/c.md")
    with pytest.raises(RunError) as caught:
        text_files(root).scan()
    assert str(caught.value) == (
        f"error[R0102]: no texts found in `{root}`: 2 files seen, with the extensions .jpg (1), .md (1)\n"
        "  = help: taken are the extensions txt; `extensions = [...]` names others"
    )
    with pytest.raises(RunError) as caught:
        text_files(root / "a.jpg").scan()
    assert caught.value.code == "R0101" and caught.value.help == "name the folder that holds the texts"


@FIXED
@given(text=st.text(), encoding=st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_a_text_is_what_was_written(one, text, encoding):
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert one(text.encode(encoding), encoding=encoding) == expected.removeprefix("\ufeff")
    assert one(codecs.BOM_UTF8 + text.encode()) == expected


def test_an_empty_file_is_an_empty_text(one):
    assert one(b"") == one(codecs.BOM_UTF8) == ""


def test_bytes_that_are_no_text(one):
    with pytest.raises(RunError) as caught:
        one("caf\u00e9 au lait".encode("cp1252"))
    assert str(caught.value) == (
        "error[R0130]: `a.txt` is no text in utf-8: its byte 3 is 0xe9, invalid continuation byte\n"
        '  = help: name the right `encoding`, or go on without such bytes with `errors = "replace"`'
    )
    assert one("caf\u00e9".encode("cp1252"), encoding="cp1252") == "caf\u00e9"
    assert one("caf\u00e9 au".encode("cp1252"), errors="replace") == "caf\ufffd au"
    with pytest.raises(RunError, match=r"R0130.*`a.txt` is no text in utf-16: its byte 2 is 0x63, truncated"):
        one(b"a\0c", encoding="utf-16")


@FIXED
@given(data=st.binary(), encoding=st.sampled_from(["utf-8", "utf-16", "ascii", "cp1252", "latin-1"]))
def test_any_bytes_give_a_text_or_an_error_that_names_the_byte(one, data, encoding):
    try:
        found = one(data, encoding=encoding)
    except RunError as error:
        assert error.code == "R0130" and "its byte" in error.message
        assert isinstance(one(data, encoding=encoding, errors="replace"), str)
    else:
        assert one(data, encoding=encoding, errors="replace") == found


@pytest.mark.parametrize("encoding", ["utf8x", "base64", "", "undefined"])
def test_an_encoding_that_is_none(tmp_path, encoding):
    with pytest.raises(RunError) as caught:
        text_files(tmp_path, encoding=encoding)
    assert str(caught.value) == (
        f"error[R0110]: `{encoding}` is no encoding of texts that Python knows\n"
        "  = help: common ones are utf-8, utf-16, latin-1 and cp1252"
    )


def test_a_file_that_is_gone(touch):
    root = touch("a.txt")
    source = text_files(root)
    os.remove(root / "a.txt")
    with pytest.raises(RunError) as caught:
        source.open("a.txt")
    assert str(caught.value) == f"error[R0103]: can't read `{root}/a.txt`: no such file or directory"


def test_digests_follow_content(touch, caches):
    root = touch("a.txt", "b.txt")
    first = list_files(text_files(root), caches)
    assert first.digests[0] == first.digests[1]
    (root / "b.txt").write_text("other")
    assert list_files(text_files(root), caches).digests[1] != first.digests[1]


def test_planning_needs_no_torch():
    code = "import sys; from mfc.runtime.data import text_sources; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_passages_that_ship_with_the_package():
    source = builtin_texts("authors")
    items = source.scan()
    assert len(items) == 1859 and items == sorted(items)
    counts = Counter(tuple(item.split("/")[:2]) for item in items)
    assert counts == {
        ("train", "carroll"): 495, ("train", "milton"): 560, ("train", "shakespeare"): 432,
        ("valid", "carroll"): 124, ("valid", "milton"): 140, ("valid", "shakespeare"): 108,
    }  # fmt: skip
    assert source.open("train/milton/000").startswith("Of Man's first disobedience, and the fruit")
    texts = [source.open(item) for item in items]
    assert len(set(source.digests(items, None))) == len(set(texts)) == 1859  # type: ignore[arg-type]
    assert all(text == " ".join(text.split()) and 20 < len(text.split()) < 130 for text in texts)
