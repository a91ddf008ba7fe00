"""The table of a model's layers."""

from __future__ import annotations

import torch

from mfc.dsl import ir
from mfc.runtime.layer_table import LayerRow, layer_table
from tests.runtime.plans import group, layer, stack, xresnet


def test_rows_in_the_order_in_which_layers_run():
    model = stack(
        "",
        group(
            "body",
            layer("conv2d", c=3, nf=8, ks=3, stride=2, padding=None, dilation=1, groups=1, bias=False),
            layer("batchnorm", c=8, zero_init=True),
            layer("relu"),
        ),
        layer("flatten"),
        layer("linear", features=8 * 16, nf=10),
    )
    assert layer_table(model, (2, 3, 8, 8)) == [
        LayerRow("body.conv2d", "conv2d(nf=8, stride=2, bias=false)", "body", (2, 8, 4, 4), 216),
        LayerRow("body.batchnorm", "batchnorm(zero_init=true)", "body", (2, 8, 4, 4), 16),
        LayerRow("body.relu", "relu()", "body", (2, 8, 4, 4), 0),
        LayerRow("flatten", "flatten()", "", (2, 128), 0),
        LayerRow("linear", "linear(nf=10)", "", (2, 10), 1290),
    ]


def test_a_shared_layer_has_a_row_for_each_use_and_counts_once():
    f = stack("f", layer("linear", features=3, nf=3), shares_slots=True)
    tied = ir.Layer("out", layer("linear", features=3, nf=3).call, tie="f")
    rows = layer_table(stack("", ir.Define(f), ir.Apply("f"), ir.Apply("f"), ir.Run(tied)), (1, 3))
    assert [(row.path, row.parameters) for row in rows] == [
        ("f.linear", 12),
        ("f.linear", 0),
        ("out", 3),
    ]


def test_ids_come_in_as_integers():
    rows = layer_table(stack("", layer("embedding", n=10, nf=4)), (2, 7), torch.int64)
    assert rows[0].out == (2, 7, 4)


def test_counts_of_a_large_model():
    rows = layer_table(xresnet(1000, (3, 4, 6, 3), 4), (1, 3, 224, 224))
    assert sum(row.parameters for row in rows) == 25_576_264
    assert rows[-1].out == (1, 1000) and rows[-1].group == "head"
    assert [row.path for row in rows if "res_block_0" in row.path][:2] == [
        "body.res_block_0.shortcut.conv_layer.conv2d",
        "body.res_block_0.shortcut.conv_layer.batchnorm",
    ]
