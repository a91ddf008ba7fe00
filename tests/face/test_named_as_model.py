"""A train that stands where a model is wanted means the layers that it trains, not what it learned."""

from __future__ import annotations

from pathlib import Path

import pytest

import mfc

SPEC = """
data digits: image -> category {
    source = builtin("digits")
    split  = random(valid = 0.2)
    label  = parent()
}
model net { group body { flatten() }  group head { linear(digits.classes) } }
train fit { data = digits  model = net  loss = cross_entropy()  epochs = 1 }
model same = fit
train more { data = digits  model = MODEL  loss = cross_entropy()  WEIGHTS  epochs = 1 }
"""


@pytest.mark.parametrize("model", ["fit", "same"])
def test_a_train_is_a_model_without_what_it_learned(tmp_path: Path, model: str) -> None:
    spec = tmp_path / "spec.mfs"
    spec.write_text(SPEC.replace("MODEL", model).replace("WEIGHTS", ""))
    plan = mfc.compile(spec).plan()
    assert "fit" not in plan["more"].inputs
    assert plan["more"].recipe["model"] == plan["fit"].recipe["model"]


def test_weights_take_what_it_learned(tmp_path: Path) -> None:
    spec = tmp_path / "spec.mfs"
    spec.write_text(SPEC.replace("MODEL", "same").replace("WEIGHTS", "weights = fit.head"))
    assert "fit" in mfc.compile(spec).plan()["more"].inputs
