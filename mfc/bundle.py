"""Opens bundles: trained models with all that predictions need, in one file."""

from __future__ import annotations

import contextlib
import json
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mfc.dsl import ir
from mfc.dsl.catalog import builtin_catalog
from mfc.runtime.build import build
from mfc.runtime.disk import remove
from mfc.runtime.errors import RunError
from mfc.runtime.export.archive import MANIFEST, broken, reason, unpack
from mfc.runtime.export.bundle import RECIPE, TOKENIZER
from mfc.stages import Means
from mfc.trained import Trained

if TYPE_CHECKING:
    import os

    from PIL.Image import Image
    from torch import nn

    from mfc.predicting import Predictor
    from mfc.runtime.training.predict import Prediction

ZIPPED = b"PK\3\4"
"""How a zip file begins, whatever its name ends in."""

KINDS = ("layer", "architecture", "encoder", "loss", "item_transform", "batch_transform", "tokenizer")
"""The kinds of components that predictions are made with."""

UNREADABLE = (OSError, KeyError, TypeError, ValueError, AttributeError, AssertionError, RecursionError)
"""What a recipe that no export wrote may end in."""

PLAIN = {"image": ir.Call("source", "image_files", ""), "text": ir.Call("source", "text_files", "")}
"""What reads new items where the source that was trained on is one of the author's own."""


class _Classes(NamedTuple):
    """What predictions need of loaders: the names of the classes."""

    vocab: Sequence[str]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model out of a bundle.

    Attributes:
        path: where it was opened.
        train: the name of the training.
        vocab: the names of the classes; none for values.
        params: the values that the spec's params had, but for paths.
        versions: of mfc and torch when it was written.
    """

    path: Path
    train: str
    vocab: Sequence[str] = field(repr=False)
    params: Mapping[str, Any]
    versions: Mapping[str, str]
    _trained: Trained = field(repr=False)
    _spec: str = field(repr=False)

    @property
    def model(self) -> nn.Module:
        """The trained model."""
        return self._trained.learner.model

    @property
    def spec(self) -> str:
        """The text of the spec that it was trained with."""
        return (self._trained.folder / self._spec).read_bytes().decode("utf-8-sig", errors="replace")

    def predict(self, item: str | Path | Image) -> Prediction:
        """What the model says of one item, exactly as `run["fit"].predict` does: an image by its path or as Pillow has
        it, a text by itself."""
        return self._trained.predict(item)

    def predict_files(
        self, paths: str | Path | Iterable[str | Path], **options: Any
    ) -> Iterator[tuple[str, Prediction]]:
        """What the model says of files, folders and tables, with the options of `Trained.predict_files`."""
        return self._trained.predict_files(paths, **options)

    def predict_texts(self, those: Iterable[str], **options: Any) -> Iterator[Prediction]:
        """What a classifier of texts says of texts, with the options of `Trained.predict_texts`."""
        return self._trained.predict_texts(those, **options)

    @property
    def predictor(self) -> Predictor:
        """What predicts new items."""
        from mfc.predicting import Predictor

        return Predictor([self._trained])

    def attention(self, text: str, label: str | None = None) -> list[tuple[str, float]]:
        """As `attention` of a trained classifier of texts does."""
        return self._trained.attention(text, label)

    def generate(self, prompt: str = "", **options: Any) -> str:
        """As `generate` of a trained language model does, with the same options."""
        return self._trained.generate(prompt, **options)


def is_bundle(path: str) -> bool:
    """Whether a command line names a bundle, not a spec."""
    if path.lower().endswith(".zip") or all(Path(path, name).is_file() for name in (MANIFEST, RECIPE)):
        return True
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        return file.read(len(ZIPPED)) == ZIPPED
    return False


def load_bundle(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    workers: int | None = None,
    allow_code: bool = False,
) -> Bundle:
    """Opens a bundle that an export wrote: its zip file, or the folder that it was unpacked to.

    Nothing of the bundle is run: its layers, transforms and loss are those of the installed mfc, looked up by name.
    Checksums tell that a bundle is as it was written, not who wrote it.

    Args:
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        workers: threads that read images, processes that tokenize; by default one a core.
        allow_code: run the bundle's own Python files, where components of one's own are needed. Only for bundles whose
            author you trust: such a file can do anything that you can.

    Raises:
        RunError: R0601, it is no whole bundle; R0602, a newer mfc wrote it; R0603, it needs code of its own; R0605, it
            needs what this mfc does not have.
    """
    path = Path(path)
    folder = Path(tempfile.mkdtemp(prefix="mfc-bundle-"))
    try:
        manifest = unpack(path, folder)
        bundle = _opened(path, folder, manifest, Means(device, workers), allow_code)
    except BaseException:
        remove(folder)
        raise
    weakref.finalize(bundle._trained, remove, folder)  # a predictor may outlive the bundle
    return bundle


def _opened(path: Path, folder: Path, manifest: Mapping[str, Any], means: Means, allow_code: bool) -> Bundle:
    """The bundle whose files were copied into `folder`."""
    from mfc.runtime.initializers import from_training
    from mfc.runtime.models import build_model
    from mfc.runtime.streams import Stream
    from mfc.runtime.training.device import choose_device
    from mfc.runtime.training.learner import Learner

    try:
        recipe = json.loads((folder / RECIPE).read_bytes())
        parts = {name: ir.from_json(recipe[name]) for name in ("model", "loss", "data", "prepare")}
        vocab, train, spec = recipe["vocab"], recipe["train"], recipe["spec"]
        named = all(isinstance(name, str) for name in (train, spec, *vocab))
        if not named or spec not in manifest["files"] or not isinstance(recipe["params"], dict):
            raise TypeError("it does not say where it comes from")
        source = parts["prepare"].pop("source", PLAIN["text" if recipe["tokenized"] else "image"])
        parts = ir.substitute(parts, _trusted(path, folder, manifest["files"], allow_code))
        placing = dict(parts["prepare"]) | ({TOKENIZER: TOKENIZER} if recipe["tokenized"] else {})
        build(placing)  # what can't be built is told now
        placing["source"] = _elsewhere(_known(path, source, ("source",)))
        stage = ir.Stage(train, "train", {"data": parts["data"]}, {"data": placing})
        model = build_model(parts["model"])
        from_training(folder)(model, Stream(0, "", ""))
        learner = Learner(
            model, _Classes(vocab), build(parts["loss"]), None, device=choose_device(means.device)
        )
    except UNREADABLE as error:
        raise broken(path, f"its `{RECIPE}` is not what an export writes: {reason(error)}") from error
    versions = {name: str(manifest[name]) for name in ("mfc", "torch") if name in manifest}
    inputs = {TOKENIZER: folder / TOKENIZER} if recipe["tokenized"] else {}
    trained = Trained(stage, folder, inputs, means, learner)
    return Bundle(path, train, vocab, recipe["params"], versions, trained, spec)


def _trusted(path: Path, folder: Path, files: Mapping[str, str], allow_code: bool) -> Callable[[Any], Any]:
    """What replaces the nodes of a recipe: components by those of the installed mfc of that kind and name, whatever
    place they are said to be at; files by those that were copied."""

    def trusted(node: Any) -> Any:
        if isinstance(node, ir.File):
            if node.path not in files:
                raise KeyError(f"there is no file `{node.path}`")
            return ir.File(str(folder / node.path))
        return _component(path, folder, files, allow_code, node) if isinstance(node, ir.Call) else node

    return trusted


def _plain(value: Any) -> Any:
    """A value as the language has it: a file is its path."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.path if isinstance(value, ir.File) else value


def _component(
    path: Path, folder: Path, files: Mapping[str, str], allow_code: bool, call: ir.Call
) -> ir.Call:
    """A component of the installed mfc, or one of the bundle's own where that is allowed."""
    module, _, definition = call.target.rpartition(":")
    if module in files and module.endswith(".py"):
        if not allow_code:
            raise RunError(
                "R0603", f"`{path}` needs code of its own: `{definition}` of {module}",
                help="where you trust its author: `load_bundle(path, allow_code=True)`, or `--allow-code`",
            )  # fmt: skip
        return replace(call, target=f"{folder / module}:{definition}")
    return _known(path, call, KINDS)


def _known(path: Path, call: ir.Call, kinds: Sequence[str]) -> ir.Call:
    """A component of the installed mfc, with arguments that it takes."""
    known = builtin_catalog().lookup(call.kind, call.name) if call.kind in kinds else None
    if known is None:
        message = f"`{path}` needs the {call.kind} `{call.name}`, which this version of mfc does not have"
        raise RunError("R0605", message, help="open it with the version of mfc that its manifest names")
    for name, value in call.args.items():
        parameter = known.parameter(name)
        wanted = known.others if parameter is None else parameter.type
        if wanted is None or wanted.accepts(_plain(value)):
            message = f"`{path}` calls `{call.name}` with a `{name}` that this version of mfc does not know"
            raise RunError("R0605", message, help="open it with the version of mfc that its manifest names")
    return replace(call, target=known.target)


def _elsewhere(source: ir.Call) -> ir.Call:
    """A source with places where there were paths: new items lie where `predict_files` is told."""
    known = builtin_catalog().lookup("source", source.name)
    assert known is not None
    return replace(source, args={**source.args, **{name: ir.File("data.csv") for name in known.paths}})
