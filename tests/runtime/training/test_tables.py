"""Tables of predictions as files of comma-separated values."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfc.runtime.errors import RunError
from mfc.runtime.training import tables
from mfc.runtime.training.tables import Table

AWKWARD = ["a,b", 'say "x"', "two\nlines", "a\rreturn", " spaces ", "", "ключ", "=1+1"]


def read(folder: Path, name: str = "out.csv") -> list[list[str]]:
    with open(folder / name, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_names_of_any_letters(tmp_path: Path) -> None:
    count = len(AWKWARD)
    values = np.random.default_rng(0).random((count, count), dtype=np.float32)
    table = Table(
        [f"{name}.png" for name in AWKWARD], AWKWARD, AWKWARD[::-1], list(values[0]), AWKWARD, list(values)
    )
    tables.csv("out.csv", id="name", label="tag").write(tmp_path, {"fit": table})
    head, *rows = read(tmp_path)
    assert head == ["name", "tag", "true", "loss", *(f"p({name})" for name in AWKWARD)]
    assert [row[0] for row in rows] == list(table.paths)
    assert [row[1] for row in rows] == AWKWARD and [row[2] for row in rows] == AWKWARD[::-1]
    found = np.array([row[3:] for row in rows], np.float32)
    assert np.array_equal(found, np.concatenate([values[0][:, None], values], 1)), "as exact as float32 is"


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([["x", "y"], [], ["y"]], ["x;y", "", "y"]),
        ([0.1, 2.5, -3.0], ["0.1", "2.5", "-3.0"]),
        ([0.1, float("nan"), float("inf")], ["0.1", "", ""]),
        ([[1.5, 2.0], [0.0, 1e-9], [3.0, 4.0]], ["1.5;2.0", "0.0;1e-09", "3.0;4.0"]),
    ],
)
def test_several_labels_and_numbers(tmp_path: Path, predictions: Any, expected: list[str]) -> None:
    table = Table(["1", "2", "3"], predictions, None, None, [], [[], [], []])
    tables.csv("out.csv").write(tmp_path, {"fit": table})
    assert read(tmp_path) == [["path", "label"], *([str(i), one] for i, one in enumerate(expected, 1))]


def test_several_models(tmp_path: Path) -> None:
    one = Table(["1.png"], ["x"], ["y"], [2.0], ["x", "y"], [[0.75, 0.25]])
    tables.csv("out.csv").write(tmp_path, {"fit(0)": one, "tta(fit(0), n = 4)": one})
    head, *rows = read(tmp_path)
    assert head == ["model", "path", "label", "true", "loss", "p(x)", "p(y)"]
    assert rows == [
        [name, "1.png", "x", "y", "2.0", "0.75", "0.25"] for name in ("fit(0)", "tta(fit(0), n = 4)")
    ]


def test_a_class_with_the_delimiter_in_its_name(tmp_path: Path) -> None:
    table = Table(["1"], [["x;y"]], None, None, [], [[]])
    with pytest.raises(RunError, match="the class `x;y` has `;` in its name") as caught:
        tables.csv("out.csv").write(tmp_path, {"fit": table})
    assert caught.value.code == "R0218"
    tables.csv("out.csv", delimiter="|").write(tmp_path, {"fit": table})
    assert read(tmp_path)[1] == ["1", "x;y"]


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    tables.csv("out.csv").write(tmp_path, {"fit": Table(["\udcff.png"], ["x"], None, None, [], [[]])})
    assert b"\xff.png,x" in (tmp_path / "out.csv").read_bytes()
