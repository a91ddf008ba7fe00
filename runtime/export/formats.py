"""Graphs of trained models for other programs: torch's own form, and ONNX."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mfc.dsl import ir
from mfc.runtime.component import Range, export_format
from mfc.runtime.errors import RunError
from mfc.runtime.export.exported import Exported
from mfc.runtime.stagekey import versions

if TYPE_CHECKING:
    from torch.export import ExportedProgram

ABOUT = "mfc"
"""What the metadata of a graph is called: a JSON object, see `about`."""

INPUT, BATCH = "image", "batch"


@export_format(graph=True)
class torch_export:
    """A program of `torch.export`, in one `.pt2` file, for Python, C++ and compilers of torch, without mfc.

    It takes `image`, uint8 `b c h w` with values 0 to 255 as item transforms leave them, for any `b`; the evaluation
    form of the batch transforms, the normalisation among them, is inside, and so is what makes probabilities of
    scores. The extra file `mfc` is a JSON object with the classes, the item transforms and the shapes. Nothing in it is
    pickled: it holds no example inputs.
    """

    def write(self, exported: Exported, folder: Path) -> None:
        """Writes `NAME.pt2` into `folder`."""
        import torch

        program = traced(exported)
        program.example_inputs = None  # torch would pickle them
        extra = {ABOUT: json.dumps(about(exported, program))}
        torch.export.save(program, folder / f"{exported.name}.pt2", extra_files=extra)


@export_format(graph=True, needs=("onnx", "onnxscript"))
class onnx:
    """A graph of ONNX, in one `.onnx` file, for onnxruntime and whatever else reads it.

    It takes `image`, uint8 `b c h w` with values 0 to 255 as item transforms leave them, for any `b`, and gives
    `probabilities`, or `values`; the evaluation form of the batch transforms, the normalisation among them, is inside.
    The metadata `mfc` is a JSON object with the classes, the item transforms and the shapes. Needs
    `pip install "mfc[onnx]"`, without which a run raises R0606 before it begins.

    Args:
        opset: the version of ONNX's operators; older readers know older ones.
    """

    def __init__(self, opset: Annotated[int, Range(18, 23)] = 18) -> None:
        self.opset = opset

    def write(self, exported: Exported, folder: Path) -> None:
        """Writes `NAME.onnx` into `folder`."""
        import torch

        traced_program = traced(exported)
        description = about(exported, traced_program)
        with _quiet():
            program = torch.onnx.export(
                traced_program, input_names=[INPUT], output_names=[description["output"]["name"]],
                opset_version=self.opset, dynamo=True,
                dynamic_shapes={INPUT: {0: BATCH}}, verbose=False,
            )  # fmt: skip
        assert program is not None
        program.model.metadata_props[ABOUT] = json.dumps(description)
        program.save(folder / f"{exported.name}.onnx")


def traced(exported: Exported) -> ExportedProgram:
    """The graph of a trained model for batches of any size. Raises RunError R0607 where torch can't make one."""
    import torch

    graph = exported.graph.eval()
    example = torch.zeros(2, *exported.data["evaluated"], dtype=torch.uint8)
    sizes = {INPUT: {0: torch.export.Dim(BATCH)}}
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(graph, (example,), dynamic_shapes=sizes)
    except RunError:
        raise
    except Exception as error:  # whatever torch or a user's layer raises
        reason = str(error).strip().partition("\n")[0]
        message = f"the model of `{exported.train}` can't be made a graph: {type(error).__name__}: {reason}"
        help = (
            "a layer must do the same for any pixels and any number of images; a `bundle()` holds any model"
        )
        raise RunError("R0607", message, help=help) from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # tells where files lie on this machine
    return program


def about(exported: Exported, program: ExportedProgram) -> dict[str, Any]:
    """What the user of a graph has to know: what goes in, how it was prepared, what comes out, the classes."""
    outputs: Any = program.graph.output_node().args[0]
    shape = outputs[0].meta["val"].shape
    channels, height, width = exported.data["evaluated"]
    decided = {"threshold": t} if (t := getattr(exported.graph.loss, "threshold", None)) is not None else {}
    return {
        **versions(["mfc", "torch"]),
        "train": exported.train,
        "target": exported.data["target"],
        "input": {
            "name": INPUT,
            "type": "uint8",
            "shape": [BATCH, channels, height, width],
            "channels": "RGB" if channels == 3 else "grey",
            "item_transforms": [_plain(transform) for transform in exported.prepare["item_transforms"]],
        },
        "output": {
            "name": "probabilities" if exported.vocab else "values",
            "shape": [BATCH, *map(int, shape[1:])],
            **decided,
        },
        "classes": list(exported.vocab),
    }


def _plain(value: Any) -> Any:
    """A component as JSON: its name and its arguments, of files their names alone."""
    if isinstance(value, ir.Call):
        return {"name": value.name, "args": {name: _plain(argument) for name, argument in value.args.items()}}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return Path(value.path).name if isinstance(value, ir.File) else value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch notes and warns of about its own parts."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        exporter.setLevel(level)
