"""Hints, beside the cases."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from mfc.dsl.editor.inlay_hints import HintOptions, inlay_hints
from tests.dsl.editor.documents import of_file
from tests.dsl.editor.marked import cases

ALL = {field.name for field in fields(HintOptions)}


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_kind_of_hint_can_be_switched_off(name: str) -> None:
    document = of_file(cases("inlay_hints")[-1])
    end = len(document.text)
    assert {hint.kind for hint in inlay_hints(document, 0, end)} == ALL
    without = inlay_hints(document, 0, end, replace(HintOptions(), **{name: False}))
    assert {hint.kind for hint in without} == ALL - {name}
