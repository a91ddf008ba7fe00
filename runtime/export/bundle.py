"""A trained model as one file that holds all that predictions need, and no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mfc.dsl import ir
from mfc.runtime.component import export_format
from mfc.runtime.errors import RunError
from mfc.runtime.export.archive import write_archive
from mfc.runtime.export.exported import Exported

RECIPE = "model.json"
"""What a model and its predictions are made of, as values of a plan."""

WEIGHTS = "model.safetensors"
SOURCES, FILES, TOKENIZER = "sources", "files", "tokenizer"
"""The folders of a bundle: the spec with what it imports and uses, files that components read, the fitted tokenizer."""


@export_format(sources=True)
class bundle:
    """One zip file with all that predictions need, for `mfc.load_bundle`, which gives exactly what the run gives.

    It holds the weights as safetensors; as JSON the model, what prepares an item, the classes, the loss that says what
    outputs mean, and the values of params but for paths; the tokenizer's files; the spec with the files that it imports
    and uses. Nothing in it is pickled, and opening it runs nothing of it: layers are those of the installed mfc.
    Components of one's own are in it as Python files, which `load_bundle` runs only where that is allowed. The
    manifest has a format version and a checksum of each file; the same model gives the same file.
    """

    def write(self, exported: Exported, folder: Path) -> None:
        """Writes `NAME.zip` into `folder`."""
        place = _places(exported.sources)
        files: dict[str, bytes | Path] = {name: Path(path) for path, name in place.items()}
        files |= {WEIGHTS: exported.weights}
        files |= {f"{TOKENIZER}/{name}": path for name, path in exported.tokenizer.items()}

        def moved(node: Any) -> Any:
            if isinstance(node, ir.File):
                return ir.File(_kept(node.path, files))
            if isinstance(node, ir.Call) and ".py:" in node.target:
                module, _, definition = node.target.rpartition(":")
                return replace(node, target=f"{place[os.path.normpath(module)]}:{definition}")
            return node

        prepare = dict(exported.prepare)
        if ".py:" in prepare["source"].target:
            del prepare["source"]  # other files of one's own are read as plain ones
        parts = {
            "model": ir.substitute(exported.model, _untrained),
            "loss": exported.loss,
            "data": exported.data,
            "prepare": prepare,
        }
        recipe = ir.to_json(ir.substitute(parts, moved)) | {
            "train": exported.train,
            "spec": place[os.path.normpath(exported.sources[0])],
            "params": exported.params,
            "vocab": list(exported.vocab),
            "tokenized": bool(exported.tokenizer),
        }
        # ASCII: texts that are no valid Unicode can be in it
        files[RECIPE] = json.dumps(recipe, indent=1).encode()
        write_archive(folder / f"{exported.name}.zip", files)


def _untrained(node: Any) -> Any:
    """A layer without the weights that it began with: it has the trained ones."""
    if isinstance(node, ir.Call) and node.target.startswith("mfc.") and node.args.get("pretrained"):
        return replace(node, args={**node.args, "pretrained": False})
    return node


def _places(sources: Iterable[Path]) -> dict[str, str]:
    """Where sources go, by where they lie: as they lie to each other, so that what they name is found."""
    paths = [os.path.normpath(path) for path in sources]
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    return {path: f"{SOURCES}/{Path(path).relative_to(root).as_posix()}" for path in paths}


def _kept(path: str, files: dict[str, bytes | Path]) -> str:
    """The name in a bundle of a file that a component reads; it is put in."""
    file = Path(path).expanduser()
    if not file.is_file():
        message = f"a component of the model reads `{path}`, and a bundle holds files only"
        raise RunError("R0604", message, help="let it read a file")
    kept = [name for name in files if name.startswith(f"{FILES}/")]
    name = next((name for name in kept if files[name] == file), f"{FILES}/{len(kept)}/{file.name}")
    files[name] = file
    return name
