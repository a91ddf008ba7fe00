"""How many numbers a model learns, as its count rules say without building it, against the module itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mfc
from mfc.dsl.dims import Dim
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.rules import parse_count
from mfc.dsl.shapes import counted
from mfc.runtime.models import build_model
from mfc.runtime.text.awd_lstm import awd_lstm
from mfc.runtime.text.language_model import language_model
from mfc.runtime.text.text_classifier import text_classifier

SPECS = Path(mfc.__file__).parent / "specs"


def built(model: Elaborated) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_model(model.stack).parameters())


def models(spec: mfc.Spec) -> list[Elaborated]:
    """The models of a spec whose arguments are known, alone and in trainings."""
    checked = spec.compiled.checked
    trained = [info.model for instance, info in checked.trains.items() if instance.known]
    return [model for model in (*checked.models.values(), *trained) if model is not None]


def waits(model: Elaborated) -> set[str]:
    """What has to be known of the data for a count."""
    assert model.parameters is not None and model.parameters == model.layers[-1].so_far
    return (
        {symbol.name for symbol in model.parameters.symbols} if isinstance(model.parameters, Dim) else set()
    )


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.mfs")), ids=lambda path: path.stem)
def test_specs(path):
    if path.stem == "finetune":
        pytest.importorskip("torchvision")
    spec = mfc.load(path)
    names = sorted(set().union(*map(waits, models(spec))))
    found = models(spec.with_facts({name: 5 + i for i, name in enumerate(names)}))
    assert found
    for model in found:
        assert model.parameters == built(model)


GIVEN = {"classes": "7", "layers": "[1, 2, 1, 1]", "body": "conv2d(6)"}
"""What the arguments of standard models are that have no default."""


def standard() -> dict[str, tuple[str, str]]:
    """The models of `specs/std` by name: the file, and a call with what has no default."""
    found = {}
    for path in sorted(SPECS.glob("std/*.mfs")):
        for name, parameters in re.findall(r"^model (\w+)\((.*?)\)", path.read_text(), re.MULTILINE):
            needed = [p.strip() for p in re.sub(r"= \[.*?\]", "=", parameters).split(",") if "=" not in p]
            found[name] = (path.name, f"{name}({', '.join(f'{n} = {GIVEN[n]}' for n in needed)})")
    return found


@pytest.mark.parametrize("name", standard())
def test_standard_models(tmp_path, name):
    source, call = standard()[name]
    model = compiled(tmp_path, call, f'import "std/{source}" ({name})\n', "3, 64, 64")
    assert model.parameters == built(model)
    assert sum(record.parameters or 0 for record in model.layers) == model.parameters


def test_standard_models_are_found():
    assert len(standard()) > 30 and standard()["mlp"] == ("mlp.mfs", "mlp(classes = 7)")


# ── what is shared, and what is not known ───────────────────────────────────────────────────────────────


def compiled(tmp_path: Path, body: str, before: str = "", image: str = "4, 12, 12") -> Elaborated:
    path = tmp_path / "net.mfs"
    path.write_text(f"{before}model net {{\n    input = image({image})\n    {body}\n}}\n")
    spec = mfc.load(path)
    assert [d.message for d in spec.diagnostics] == []
    return next(m for d, m in spec.compiled.checked.models.items() if d.name == "net")


def so_far(model: Elaborated) -> list[Any]:
    return [record.so_far for record in model.layers]


def test_modules_that_are_used_again_count_once(tmp_path):
    body = "let f = module { conv2d(4) }\n apply(f)\n relu()\n apply(f)\n linear(3)"
    model = compiled(tmp_path, body)
    assert so_far(model) == [148, 148, 187] and built(model) == 187


def test_a_named_model_is_one_module(tmp_path):
    before = "model small(nf) { conv2d(nf, bias = false) }\nmodel part = small(4)\n"
    model = compiled(tmp_path, "part\n relu()\n part", before)
    assert model.parameters == built(model) == 144


def test_blocks_are_new_each_time(tmp_path):
    model = compiled(tmp_path, "part()\n part()", "block part { conv2d(4, bias = false) }\n")
    assert model.parameters == built(model) == 288


def test_a_tied_layer_has_its_bias_alone(tmp_path):
    tied = "linear(12, tie = f)\n linear(12, bias = false, tie = f)"
    model = compiled(tmp_path, f"let f = module {{ linear(12, bias = false) }}\n apply(f)\n {tied}")
    assert so_far(model) == [144, 156, 156] and built(model) == 156


def test_branches_count(tmp_path):
    model = compiled(tmp_path, "let s = branch { conv2d(4, 1) }\n conv2d(4)\n add(s)")
    assert so_far(model) == [20, 168] and built(model) == 168


OWN = """
import mfc
from torch import nn

@mfc.layer(shape="b c h w -> b c h w")
class silent(nn.Module):
    "It does not say what it learns."

@mfc.layer(shape="b c h w -> b c h w", parameters="sum(widths...)*c + prod(widths...) + hidden*(c + affine)")
class told(nn.Module):
    "It does."
    def __init__(self, widths: list[int], hidden: int | None = None, affine: bool = True): ...
"""


def test_layers_of_ones_own(tmp_path):
    (tmp_path / "layers.py").write_text(OWN)
    layers = "told([3, 5])\n told([3, 5], hidden = 2)\n told([1], 2, false)"
    model = compiled(tmp_path, layers, 'use "layers.py" (told)\n')
    assert so_far(model) == [47, 47 + 57, 47 + 57 + 13]
    model = compiled(tmp_path, "conv2d(4)\n silent()\n conv2d(4)", 'use "layers.py" (silent)\n')
    assert [record.parameters for record in model.layers] == [148, None, 148]
    assert so_far(model) == [148, None, None] and model.parameters is None


UNDECIDED = """
data digits: image -> category {
    source          = builtin("digits")
    split           = random(0.2)
    label           = parent()
    item_transforms = [resize(8)]
}
model net(classes) {
    conv2d(4)
    if classes > 5 { conv2d(4) } else { conv2d(4, bias = false) }
    linear(classes)
}
train fit { data = digits  model = net(digits.classes)  loss = cross_entropy()  epochs = 1 }
"""


def test_what_only_the_data_decides(tmp_path):
    """Which of two branches is taken is not known before: neither is the count."""
    (tmp_path / "net.mfs").write_text(UNDECIDED)
    spec = mfc.load(tmp_path / "net.mfs")
    (before,) = models(spec)
    assert before.parameters is None and so_far(before)[0] == 40
    (after,) = models(spec.with_facts({"digits.classes": 10}))
    assert after.parameters == built(after)


# ── text models ─────────────────────────────────────────────────────────────────────────────────────────


def rule_of(component: Any) -> str:
    return component.__mfc_facts__["parameters"]


@settings(max_examples=20)
@given(
    st.integers(3, 20),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_text_models(vocab, emb_size, hidden_size, layers, classes, head):
    encoder = awd_lstm(emb_size, hidden_size, layers)
    sizes = {"emb_size": emb_size, "hidden_size": hidden_size, "layers": layers}
    inner = {f"encoder.{name}": size for name, size in sizes.items()}
    (encoded,) = counted(parse_count(rule_of(awd_lstm)), None, (), {**sizes, "vocab": vocab})
    args = {**inner, "encoder": encoded, "vocab": vocab, "classes": classes, "hidden_size": head}
    for model in (language_model(encoder, vocab), text_classifier(encoder, classes, vocab, hidden_size=head)):
        rule = parse_count(rule_of(type(model)))
        assert counted(rule, None, (), args) == (sum(p.numel() for p in model.parameters()),)
