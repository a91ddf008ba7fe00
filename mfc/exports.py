"""Carries out exports: hands a trained model to the format that writes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mfc.dsl import ir
from mfc.dsl.codehash import CodeIndex
from mfc.runtime.build import build, find
from mfc.runtime.data.items import Items
from mfc.runtime.errors import RunError
from mfc.runtime.export.bundle import WEIGHTS
from mfc.runtime.export.exported import Exported
from mfc.runtime.store import MANIFEST, file_name
from mfc.stages import Folders, placed

PARTS = ("model", "loss", "data", "prepare")
"""What decides predictions, of the recipe of an export."""


@dataclass(frozen=True)
class Export:
    """A trained model in the form that an export asks for.

    Attributes:
        files: what was written.
    """

    stage: ir.Stage
    folder: Path
    files: Sequence[Path]

    def __repr__(self) -> str:
        return f"<Export {self.stage.name}: {', '.join(map(str, self.files))}>"


def run_export(stage: ir.Stage, inputs: Folders, out: Path) -> None:
    """Writes a trained model in the form that the recipe asks for."""
    recipe = stage.recipe
    parts = {name: placed(stage, recipe[name]) for name in PARTS}
    items, *tokenizer = stage.inputs[1:]
    exported = Exported(
        name=file_name(stage.name),
        train=recipe["train"],
        **parts,
        vocab=Items.load(inputs[items]).vocab,
        weights=inputs[recipe["train"]] / WEIGHTS,
        tokenizer=dict(_named(inputs[tokenizer[0]])) if tokenizer else {},
        sources=_sources(stage, parts),
        params=recipe.get("params", {}),
    )
    build(recipe["format"]).write(exported, out)
    if not any(_named(out)):
        raise RunError(
            "R0608", f"the format `{recipe['format'].name}` of the export `{stage.name}` wrote nothing",
            help="its method `write(exported, folder)` writes one file or more into `folder`",
        )  # fmt: skip


def lacking(stage: ir.Stage) -> RunError | None:
    """What is wrong (R0606) where a package is missing that the format of an export needs."""
    form = stage.recipe["format"]
    needs = find(form).__mfc_facts__["needs"]
    missing = [name for name in needs if find_spec(name) is None]
    if not missing:
        return None
    what = f'"mfc[{form.name}]"' if form.target.startswith("mfc.") else " ".join(missing)
    return RunError(
        "R0606", f"`{form.name}` of the export `{stage.name}` needs {' and '.join(missing)}, "
        f"which {'is' if len(missing) == 1 else 'are'} not installed",
        help=f"pip install {what}",
    )  # fmt: skip


def read_export(stage: ir.Stage, folder: Path) -> Export:
    """What an export left in its folder."""
    return Export(stage, folder, [path for _, path in _named(folder)])


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a stage's result by their names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST:
            yield path.relative_to(folder).as_posix(), path


def _sources(stage: ir.Stage, parts: dict[str, Any]) -> list[Path]:
    """The spec's own files, and the Python files that its components reach beside those that it names."""
    reads = stage.placing["reads"]
    named = [reads[file.path] for file in stage.recipe.get("sources", ())]
    own = {call.target for call in ir.walk(parts) if isinstance(call, ir.Call) and ".py:" in call.target}
    package = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
    reached = (
        {path for path, _ in CodeIndex().reached(own) if not path.startswith(package)} if named else set()
    )
    return [Path(path) for path in dict.fromkeys([*map(os.path.normpath, named), *sorted(reached)])]
