"""Texts out of tables: rows, texts and columns are those of Python's csv module, wherever a row begins."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mfc.runtime.data import labels, splits
from mfc.runtime.data.files import list_files
from mfc.runtime.data.items import list_items
from mfc.runtime.data.text_table import FIELD, text_table
from mfc.runtime.errors import RunError
from mfc.runtime.text.rules import FLD

FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
CELLS = st.text("a\"',;\t \n\ré\u2028\U0001f600\0\ufeff", max_size=8) | st.text(max_size=8)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=6)
)


@pytest.fixture
def write(tmp_path):
    """Writes bytes or a text as a table, and gives its path."""

    def write(content, name="reviews.csv"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# ── against Python's csv module ─────────────────────────────────────────────────────────────────────────


@FIXED
@given(
    rows=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\r\n", "\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.booleans(),
    cut=st.booleans(),
)
@example([["\r\n"], ["x\r"]], ",", "\n", csv.QUOTE_MINIMAL, True, True)
def test_rows_are_those_that_were_written(write, rows, delimiter, end, quoting, mark, cut):
    out = io.StringIO(newline="")
    if any(end in cell for row in rows for cell in row for end in "\r\n"):
        quoting = csv.QUOTE_ALL  # the writer quotes those line ends alone that it writes
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    header = [f"c{i}" for i in range(len(rows[0]))]
    writer.writerows([header, *rows])
    text = out.getvalue()
    file = write(codecs.BOM_UTF8 * mark + (text.removesuffix(end) if cut else text).encode())
    with open(file, newline="", encoding="utf-8-sig") as opened:
        reference = [row for row in csv.reader(opened, delimiter=delimiter) if row][1:]
    assert reference == rows
    source = text_table(file, header[-1], delimiter)
    items = source.scan()
    assert items == sorted(items) and len(items) == len(rows)
    fresh = text_table(file, header, delimiter)
    for place in (0, -1, len(items) // 2):  # in any order
        assert source.open(items[place]) == plain(rows[place][-1])
        marked = " ".join(f"xxfld {n} {plain(cell)}" for n, cell in enumerate(rows[place], 1))
        assert fresh.open(items[place]) == (marked if len(header) > 1 else plain(rows[place][0]))
    for place, name in enumerate(header):
        assert source.column(name, items) == [row[place] for row in rows]
    assert source.column(header[0], items[1::2]) == [row[0] for row in rows][1::2]


@FIXED
@given(st.text('a",\n\r ;', max_size=60))
def test_any_text_is_read_as_by_the_csv_module_or_not_at_all(write, text):
    file = write("a,b\n" + text)
    try:
        found = text_table(file, "a").column("b", text_table(file, "a").scan())
    except RunError as error:
        assert error.code in ("R0135", "R0136")
    else:
        with open(file, newline="") as opened:
            assert found == [row[1] for row in csv.reader(opened) if row][1:]


@FIXED
@given(data=st.binary(max_size=40))
def test_any_bytes_give_a_table_or_an_error(write, data):
    file = write(b"a\n" + data)
    try:
        items = text_table(file, "a").scan()
    except RunError as error:
        assert error.code in ("R0130", "R0135", "R0136")
    else:
        assert all(isinstance(text_table(file, "a").open(item), str) for item in items)


def test_long_texts_and_other_encodings(write):
    file = write(f'text,label\n"{"word " * 60_000}",x\ncafé,y\n'.encode("cp1252"))
    source = text_table(file, "text", encoding="cp1252")
    assert [len(source.open(item)) for item in source.scan()] == [300_000, 4]
    assert source.open("00000001") == "café"
    assert text_table(file, "text", errors="replace").open("00000001") == "caf\ufffd"


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252"])
def test_a_table_may_be_compressed_and_in_any_encoding(write, encoding, pack, caches):
    text = 'text,label\n"café, ā la\r\n""carte""",x\r\n\nthé,y\n'.replace(
        "ā", "ā" if encoding != "cp1252" else "à"
    )
    file = write(pack(text.encode(encoding)))
    marked = encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")  # what says by itself what it is
    source = text_table(file, "text", encoding="utf-8" if marked else encoding)
    expected = list(csv.DictReader(io.StringIO(text)))
    items = source.scan()
    assert [source.open(item) for item in reversed(items)] == [
        plain(row["text"]) for row in reversed(expected)
    ]
    assert source.column("label", items) == ["x", "y"]
    assert source.where(items[1]) == f"line 5 of `{file}`"
    assert len(set(source.digests(items, caches))) == 2


def test_bytes_that_are_wrong_in_a_wide_encoding_can_be_replaced(write):
    cut = "text\nx\nyz".encode("utf-16-le")[:-1]
    source = text_table(write(cut), "text", encoding="utf-16-le", errors="replace")
    assert [source.open(item) for item in source.scan()] == ["x", "y\ufffd"]


def test_the_delimiter_goes_by_the_name_of_the_file(write):
    for name, delimiter in (("a.csv", ","), ("a.TSV", "\t"), ("a.tab.gz", "\t"), ("a.txt", ",")):
        source = text_table(write(f"x{delimiter}y\n1{delimiter}2\n", name), "y")
        assert [source.open(item) for item in source.scan()] == ["2"]
    assert text_table(write("x;y\n1,5;2\n"), "x", ";").open("00000000") == "1,5"


def test_the_marks_of_fields_are_tokens():
    assert FIELD == FLD


def test_digests_follow_the_content_and_how_it_is_read(write, caches, tmp_path):
    def digests(file, text="a", **arguments):
        return list_files(text_table(file, text, **arguments), caches).digests

    first = digests(write("a,b\n1,2\n3,4\n"))
    assert len(set(first)) == 2
    assert digests(write("a,b\n1,2\n3,4\n", "moved.csv")) == first == digests(tmp_path / "reviews.csv", "b")
    assert digests(write("a,b\n1,2\n3,4\n", "other.tsv"), delimiter=",") == first
    others = [
        digests(write("a,b\n1,2\n3,5\n", "b.csv")),
        digests(tmp_path / "moved.csv", encoding="latin-1"),
        digests(write("a,b\n1,2\n3,4\n", "moved.tsv"), "a,b"),
    ]
    assert not set(first).intersection(*others)


# ── splits and labels ───────────────────────────────────────────────────────────────────────────────────


def parts(split, *values: str) -> tuple[list[int], list[int]]:
    return split.split([f"{i:08}" for i in range(len(values))], values)


def test_by_column():
    said = ("True", "no", " 1", "FALSE", "yes", "0")
    assert parts(splits.by_column("v"), *said) == ([1, 3, 5], [0, 2, 4])
    assert parts(splits.by_column("v", valid=False), *said) == ([0, 2, 4], [1, 3, 5])
    assert parts(splits.by_column("v", "test"), "train", "test", "train") == ([0, 2], [1])
    named = splits.by_column("v", train="train", valid=["dev", "test"])
    assert parts(named, "dev", "train", "unused", "test") == ([1], [0, 3])
    inner = splits.subset(named, train=1)
    assert inner.reads_column == "v" and parts(inner, "dev", "train", "test") == ([1], [0, 2])


UNTOLD = {
    "neither": (
        {},
        ("true", "maybe"),
        "error[R0137]: `by_column` can't tell which part `00000001` is in: its `v` is `maybe`, neither true nor false\n"
        '  = help: other values are named: `by_column("v", train = "...", valid = "...")`',
    ),
    "empty": ({}, ("true", " "), "its `v` is empty"),
    "empty beside names": (
        {"valid": "dev", "train": "train"},
        ("train", "dev", ""),
        "`00000002` is in: its `v` is empty\n  = help: fill it in, or take the row out of the table",
    ),
    "which train": (
        {"valid": "dev"},
        ("train", "dev", "test"),
        "error[R0110]: `by_column` does not say which rows train: besides `dev`, their `v` is `train`, `test`\n"
        '  = help: name those that train: `train = "train"`',
    ),
    "absent": (
        {"valid": "valid"},
        ("train", "dev"),
        "error[R0110]: no row has `valid` as its `v`\n  = help: there are `train`, `dev`",
    ),
    "half named": ({"train": "train"}, (), "names the values that train, and not those that validate"),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_a_split_that_a_column_does_not_tell(name):
    arguments, values, said = UNTOLD[name]
    with pytest.raises(RunError) as caught:
        parts(splits.by_column("v", **arguments), *values)
    assert said in str(caught.value)


def test_items_of_a_table(write, caches):
    file = write("body,kind,stars,part\nx,good,4.5,1\ny,bad,1,0\nz,bad,2,0\nw,good,3,yes\nv,good,3,no\n")
    source = text_table(file, "body")
    listing = list_files(source, caches)
    items = list_items(listing, splits.by_column("part"), labels.column("kind"), source=source)
    assert (items.train, items.valid, items.targets) == ([1, 2, 4], [0, 3], [1, 0, 0, 1, 1])
    items = list_items(listing, splits.by_column("part"), labels.column("stars"), "value", source=source)
    assert items.targets == [4.5, 1, 2, 3, 3]
    items = list_items(listing, splits.stratified(0.5), labels.column("kind"), source=source)
    assert len(items.valid) == 3 and items.vocab == ["bad", "good"]
    some = splits.by_column("kind", train="bad", valid="good")
    items = list_items(listing, splits.subset(some, valid=1), labels.column("stars"), "value", source=source)
    assert len(items.paths) == 3
    with pytest.raises(RunError, match=r"R0109.*label `x` of `00000000` is no number"):
        list_items(listing, splits.by_column("part"), labels.column("body"), "value", source=source)


def test_an_empty_label(write, caches):
    source = text_table(write("text,kind\nx,good\ny,\n"), "text")
    with pytest.raises(RunError, match=r"R0108.*`00000001` has no label: its `kind` is empty"):
        list_items(list_files(source, caches), splits.end(0.5), labels.column("kind"), source=source)


MISTAKEN = {
    "an empty label": ("ab,1,\ncd,1,x\n", "R0108", 3),
    "no number": ("ab,1,2\ncd,1,x\n", "R0109", 4),
    "in no part": ("ab,1,2\ncd,maybe,x\n", "R0137", 4),
    "a label in one part alone": ("ab,0,2\ncd,1,x\n", "R0107", 4),
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_a_mistake_in_a_row_says_where_it_is(write, caches, name):
    rows, code, line = MISTAKEN[name]
    file = write(f"text,part,label\n\n{rows}ef,0,2\ngh,1,2\n")
    source = text_table(file, "text")
    target = "value" if code == "R0109" else "category"
    with pytest.raises(RunError) as caught:
        list_items(
            list_files(source, caches),
            splits.by_column("part"),
            labels.column("label"),
            target,
            source=source,
        )
    assert caught.value.code == code
    assert caught.value.notes[-1] == f"`{line - 3:08}` is in line {line} of `{file}`"


def test_a_labeler_of_ones_own_that_hides_what_it_reads(caches, write):
    source = text_table(write("text,kind\nx,good\ny,bad\n"), "text")
    with pytest.raises(RunError, match=r"R0111.*`column` reads a column, and its decorator does not say so"):
        list_items(list_files(source, caches), splits.end(0.5), labels.column("kind"))


# ── what is wrong with a table ──────────────────────────────────────────────────────────────────────────

WRONG = {
    "no such column": (
        "review,label\nx,y\n",
        {"text": "reviw"},
        "error[R0133]: `FILE` has no column `reviw`\n  = note: there are `review`, `label`\n"
        "  = help: did you mean `review`?",
    ),
    "case": ("Text,label\nx,y\n", {"text": ["label", "TEXT"]}, "did you mean `Text`?"),
    "nothing near": (
        "review,label\nx,y\n",
        {},
        "error[R0133]: `FILE` has no column `text`\n  = note: there are `review`, `label`\n"
        "  = help: its first row is read as the names of columns",
    ),
    "a name twice": (
        "text,a,text,,\nx,y,z,,\n",
        {},
        "error[R0134]: `FILE` has more than one column of the name `text`\n",
    ),
    "too few fields": (
        'text,a\n"1\n2",x\ny\n',
        {},
        "error[R0135]: line 4 of `FILE` has 1 field, and the header 2\n  = help: a field that holds",
    ),
    "too many fields": (
        "text,a\r\nx,y\r\n\r\nx,y,z\r\n",
        {},
        "error[R0135]: line 4 of `FILE` has 3 fields, and the header 2\n",
    ),
    "a quote without end": (
        'text,a\nx,y\nz,"b\nx,y\n',
        {},
        "error[R0135]: the row in line 3 of `FILE` can't be read: the last field's closing quote is missing\n",
    ),
    "a quote that is not doubled": (
        'text,a\nx,y\n"I "lived" it",b\nx,y\n',
        {},
        "error[R0135]: the row in line 3 of `FILE` can't be read: a quote within a field is not doubled\n",
    ),
    "nothing": ("\n", {}, "error[R0136]: `FILE` is empty\n"),
    "only a header": ("text,a\n", {}, "error[R0136]: `FILE` has no rows, only the names of columns"),
    "no text": (
        "text,a\nx,y\ncafé,z\n".encode("latin-1"),
        {},
        "error[R0130]: line 3 of `FILE` is no text in utf-8: its byte 3 is 0xe9, invalid continuation byte\n",
    ),
    "cut utf-16": (
        "text\nx\ny\n".encode("utf-16")[:-1],
        {},
        "error[R0130]: line 3 of `FILE` is no text in utf-16: truncated data\n",
    ),
    "a spreadsheet": (b"PK\x03\x04\x14\0", {}, "error[R0130]: `FILE` is no text: it is a ZIP archive"),
    "a spreadsheet within": (gzip.compress(b"PK\x03\x04\x14\0"), {}, "error[R0130]: `FILE` is no text"),
    "cut gzip": (
        gzip.compress(b"text\nx\n" * 99)[:30],
        {},
        "error[R0103]: can't read `FILE`: what is compressed in it is cut off or damaged\n",
    ),
    "cut bzip2": (
        bz2.compress(b"text\nx\n" * 99)[:30],
        {},
        "error[R0103]: can't read `FILE`: what is compressed",
    ),
    "cut xz": (
        lzma.compress(b"text\nx\n" * 99)[:-9],
        {},
        "error[R0103]: can't read `FILE`: what is compressed",
    ),
    "no text in gzip": (
        gzip.compress("text,a\nx,y\ncafé,z\n".encode("latin-1")),
        {},
        "error[R0130]: line 3 of `FILE` is no text in utf-8: its byte 3 is 0xe9",
    ),
    "no encoding": ("text\nx\n", {"encoding": "utf8x"}, "error[R0110]: `utf8x` is no encoding"),
    "a delimiter": (
        "text\nx\n",
        {"delimiter": "||"},
        "error[R0110]: the delimiter of a table is one character",
    ),
    "no column": ("text\nx\n", {"text": []}, "error[R0110]: `text` names no column"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_table(write, name):
    content, arguments, said = WRONG[name]
    file = write(content)
    with pytest.raises(RunError) as caught:
        text_table(file, **({"text": "text"} | arguments)).scan()
    assert said.replace("FILE", str(file)) in str(caught.value)


def test_a_field_that_is_too_long(write, monkeypatch):
    monkeypatch.setattr("mfc.runtime.data.tables.LONGEST", 200_000)
    before = csv.field_size_limit(200_000)
    try:
        with pytest.raises(RunError, match=r"R0135.*row in line 2 .*field larger than field limit"):
            text_table(write(f"text\n{'x' * 200_001}\n"), "text").scan()
    finally:
        csv.field_size_limit(before)


def test_a_file_that_is_not_there(write, tmp_path):
    write("text\nx\n")
    with pytest.raises(RunError) as caught:
        text_table(tmp_path / "review.csv", "text").scan()
    assert str(caught.value) == (
        f"error[R0101]: there is no file `{tmp_path}/review.csv`\n"
        f"  = help: did you mean `{tmp_path}/reviews.csv`?"
    )
    with pytest.raises(RunError, match=r"there is no folder `.*nowhere` either"):
        text_table(tmp_path / "nowhere" / "a.csv", "text").scan()
    with pytest.raises(RunError, match=r"R0103.*is a directory"):
        text_table(tmp_path, "text").scan()


def test_a_file_that_became_shorter(write):
    source = text_table(write("text\nx\ny\n"), "text")
    items = source.scan()
    fresh = text_table(write("text\nx\n"), "text")
    for read in (
        lambda: source.open(items[1]),
        lambda: fresh.open(items[1]),
        lambda: fresh.column("text", items),
    ):
        with pytest.raises(RunError, match=r"R0103.*row 00000001 .*changed meanwhile"):
            read()


def test_planning_needs_no_torch():
    code = "import sys; from mfc.runtime.data import text_table; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
