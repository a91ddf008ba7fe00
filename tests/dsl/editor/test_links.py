"""Paths of files that lead to them."""

from __future__ import annotations

from mfc.dsl.editor.links import links
from tests.dsl.editor.documents import SPECS, of_text

TEXT = """# 😀\r
import "parts.mfs" (conv)\r
block broken { if then }\r
import r"./parts.mfs" (other)\r
import "std/cnn.mfs" (cnn)\r
use "layers.py" (wave)\r
use "std/cnn.mfs" (wave)\r
import "nowhere.mfs" (a)\r
import "../outside.mfs" (b)\r
import "main.mfs" (c)\r
import 'single.mfs' (d)\r
"""
PARTS = "## Layers that\n## others use.\n##\n## In two paragraphs.\n\nblock conv { relu() }\n"


def test_paths_lead_to_files_that_can_be_read() -> None:
    document = of_text(TEXT, parts=PARTS, layers_py="", single="let d = 1\n")
    found = [(link.span.text, link.path, link.tooltip) for link in links(document)]
    parts = "/spec/parts.mfs: Layers that others use."
    cnn = f"{SPECS.resolve().as_posix()}/std/cnn.mfs"
    described = "A plain convolutional network: each block halves height and width."
    shown = document.compiled.program.modules[cnn].file.source.name
    assert found == [
        ("parts.mfs", "/spec/parts.mfs", parts),
        ("./parts.mfs", "/spec/parts.mfs", parts),
        ("std/cnn.mfs", cnn, f"{shown}: {described}"),
        ("layers.py", "/spec/layers.py", "layers.py: components in Python"),
        ("main.mfs", "/spec/main.mfs", "main.mfs"),
        ("single.mfs", "/spec/single.mfs", "/spec/single.mfs"),
    ]
