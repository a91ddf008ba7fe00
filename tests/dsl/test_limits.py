"""What is nested or chained too deeply for Python ends with an error of the spec, never with one of Python's."""

from __future__ import annotations

from pathlib import Path

import pytest

import mfc

NESTED = "if n > 0 { " * 20 + "down(n - 1)" + " }" * 20

SPECS = {
    "a long sum": "let a = " + " + ".join(["1"] * 3_000),
    "a long conditional": "let a = " + "if true then 1 else " * 2_000 + "2",
    "many signs": "let a = " + "-" * 3_000 + "1",
    "many negations": "let a = " + "not " * 3_000 + "true",
    "many attributes": "let b = [1]\nlet a = b" + ".c" * 3_000,
    "a chain of lets": "\n".join(f"let a{i} = a{i - 1} + 1" for i in range(900, 0, -1)) + "\nlet a0 = 0",
    "conditions within calls": f"block down(n) {{ {NESTED} }}\nmodel net {{ input = image(3, 8, 8)  down(60) }}",
}


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS)
def test_it_ends_with_an_error_of_the_spec(text: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.mfs"
    spec.write_text(text)
    codes = [diagnostic.code for diagnostic in mfc.load(spec).errors]
    assert len(codes) <= 20
    assert set(codes) <= {"E0601", "E0602", "E0305", "E0205", "E0115"}
