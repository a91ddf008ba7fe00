"""What trained models say of new items: prepared as validation items were, in batches, as the items come.

Nothing grows with their number: images are decoded by threads that are a little ahead, texts are taken by the window.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import nn

from mfc.dsl import ir
from mfc.new_items import Finder, NewItem, given, lines
from mfc.runtime.build import build
from mfc.runtime.cores import cores
from mfc.runtime.data.ahead import in_lists, map_ahead
from mfc.runtime.data.batch_pipeline import BatchPipeline
from mfc.runtime.data.images import read
from mfc.runtime.data.item_transforms import pipeline
from mfc.runtime.errors import RunError
from mfc.runtime.text.rules import PAD_ID
from mfc.runtime.text.text_batches import POOL
from mfc.runtime.training.evaluation import must_share_classes, scores
from mfc.runtime.training.failures import explained
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.predict import Prediction, Predictions, at_pixels, get_preds
from mfc.stages import Folders, processes

if TYPE_CHECKING:
    from mfc.trained import Trained

log = logging.getLogger(__name__)

_noted: set[tuple[int, ...]] = set()
"""Shapes that models were trained on for which it was said that an image has another one: once is enough."""

CHUNK = 16
"""Images that a thread reads at a time."""


class Answer(NamedTuple):
    """What a model says of an item: a row of the predictions for its batch."""

    item: NewItem
    predictions: Predictions
    row: int


Answers: TypeAlias = Generator["Answer | RunError", None, None]
"""Answers in the order of their items; an error stands for an item that could not be predicted."""

Found: TypeAlias = "Iterable[NewItem | RunError]"

Paths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"


class ImageAnswers:
    """What a trained model says of new images."""

    def __init__(self, stage: ir.Stage, learner: Learner, workers: int | None) -> None:
        data, placing = stage.recipe["data"], stage.placing["data"]
        self.learner, self.batch_size = learner, data["batch_size"]
        self.shape, self.masks = tuple(data["shape"]), data["target"] == "mask"
        self.transforms = pipeline(build(placing["item_transforms"]), training=False)
        batch_transforms = build(placing["batch_transforms"])
        self.pipeline = BatchPipeline(batch_transforms, 0, "", self.shape[0], training=False)
        self.threads = max(1, cores() if workers is None else workers)

    def __call__(self, items: Found, batch_size: int) -> Answers:
        """A batch has images of one size; those that can't be read have a place in it too, so that none grows."""
        batch: list[tuple[NewItem, np.ndarray | RunError]] = []
        good: list[np.ndarray] = []
        with closing(map_ahead(self._read, in_lists(items, CHUNK), self.threads)) as chunks:
            for item, image in chain.from_iterable(chunks):
                sized = isinstance(image, np.ndarray)
                if len(batch) == batch_size or (sized and good and image.shape != good[0].shape):
                    yield from self._answer(batch, good)
                    batch, good = [], []
                if sized:
                    good.append(image)
                batch.append((item, image))
        yield from self._answer(batch, good)

    def finished(self, item: NewItem, said: Prediction) -> Prediction:
        """A prediction as it is given out: that of a mask at the pixels of its image."""
        if not self.masks:
            return said
        with item.source.open(item.item) as image:
            width, height = image.size
        return at_pixels(said, self.transforms, self.pipeline, self.shape[0], height, width)

    def _read(self, items: Sequence[Any]) -> list[tuple[Any, np.ndarray | RunError]]:
        return [(item, item if isinstance(item, RunError) else self._pixels(item)) for item in items]

    def _pixels(self, item: NewItem) -> np.ndarray | RunError:
        try:
            return read(item.source, item.item, self.transforms, random.Random(0))
        except RunError as error:
            return _named(error, item)

    def _answer(
        self, batch: Sequence[tuple[NewItem, np.ndarray | RunError]], good: Sequence[np.ndarray]
    ) -> Iterator[Answer | RunError]:
        found = self._predictions(good) if good else None
        rows = iter(range(len(good)))
        for item, image in batch:
            if isinstance(image, RunError):
                yield image
            elif isinstance(found, Predictions):
                self._note_size(item, image)
                yield Answer(item, found, next(rows))
            else:
                sizes = (" x ".join(map(str, shape[1:])) for shape in (image.shape, self.shape))
                message = "`{}` is {} after the item transforms, and the model was trained on {}"
                yield RunError("R0105", message.format(item.name, *sizes), notes=[str(found)])

    def _note_size(self, item: NewItem, image: np.ndarray) -> None:
        """Says once that an image has another size than all that were trained on: a model that takes any size gives an
        answer, and it may be a wrong one. Of masks sizes often differ; item transforms bring images to a size."""
        if self.masks or self.transforms or image.shape == self.shape or self.shape in _noted:
            return
        _noted.add(self.shape)
        sizes = (" x ".join(map(str, shape[1:])) for shape in (image.shape, self.shape))
        message = "`%s` is %s, and the model was trained on %s: the item transform `resize` brings images to one size"
        log.warning(message, item.name, *sizes)

    def _predictions(self, images: Sequence[np.ndarray]) -> Predictions | str:
        """What the model says of images of one size, or why it can't take another size than it was trained on."""
        pixels = torch.from_numpy(np.stack(images)).to(self.learner.device)
        x = self.pipeline(pixels, torch.zeros(len(images), dtype=torch.int64), 0)
        try:
            return _said(self.learner, x)
        except (RuntimeError, RunError) as error:
            if tuple(pixels.shape[1:]) == self.shape or getattr(error, "code", None) == "R0404":
                raise
            return getattr(error, "message", str(error))


class TextAnswers:
    """What a trained classifier says of new texts."""

    def __init__(self, stage: ir.Stage, inputs: Folders, learner: Learner, processes: int) -> None:
        data, placing = stage.recipe["data"], stage.placing["data"]
        if data["target"] == "next_token":
            help = "it makes up texts: `generate`"
            raise RunError(
                "R0503", f"`{stage.name}` is a language model, which predicts no labels", help=help
            )
        self.learner, self.processes = learner, processes
        self.batch_size = 2 * data["batch_size"]  # as in validation
        self.encoder = build(placing["tokenize"]).load(Path(inputs[placing["tokenizer"]]))
        self.backwards = data["options"]["backwards"]

    def __call__(self, items: Found, batch_size: int) -> Answers:
        """Of each window the longest texts make the first batch, so that little of a batch is padding."""
        for window in in_lists(items, POOL * batch_size if batch_size > 1 else 1):
            opened = [self._open(item) for item in window]
            texts = {place: text for place, text in enumerate(opened) if isinstance(text, str)}
            ids = dict(zip(texts, self.encoder.encode(texts.values(), self.processes)))
            answers: dict[int, Answer | RunError] = {}
            for batch in in_lists(sorted(ids, key=lambda place: -len(ids[place])), batch_size):
                answers |= zip(batch, self._answer([(window[place], ids[place]) for place in batch]))
            for place, wrong in enumerate(opened):
                yield wrong if isinstance(wrong, RunError) else answers[place]

    def finished(self, item: NewItem, said: Prediction) -> Prediction:
        """A prediction as it is given out."""
        return said

    def _answer(self, batch: Sequence[tuple[Any, np.ndarray]]) -> Iterator[Answer | RunError]:
        """What the model says of the texts of a batch. Where it fails, each is asked about by itself: some layers take
        no text as short as some are."""
        try:
            found = _said(self.learner, self._batch([ids for _, ids in batch]))
        except RunError as error:
            if error.code == "R0404":
                raise
            if len(batch) > 1:
                for one in batch:
                    yield from self._answer([one])
                return
            item, ids = batch[0]
            message = f"`{item.name}` can't be predicted: {error.message}"
            yield RunError(error.code, message, notes=[*error.notes, f"its length in tokens is {len(ids):,}"])
        else:
            yield from (Answer(item, found, row) for row, (item, _) in enumerate(batch))

    def _open(self, item: NewItem | RunError) -> str | RunError:
        if isinstance(item, RunError):
            return item
        try:
            return item.source.open(item.item)
        except RunError as error:
            return _named(error, item)

    def _batch(self, texts: Sequence[np.ndarray]) -> torch.Tensor:
        """int64 `b t`, padded at the end."""
        x = np.full((len(texts), max(map(len, texts))), PAD_ID, np.int64)
        for row, ids in zip(x, texts):
            row[: len(ids)] = ids[::-1] if self.backwards else ids
        return torch.from_numpy(x)


@dataclass(frozen=True)
class Predictor:
    """Predicts new items with a trained model, or with several whose probabilities are averaged.

    Raises RunError R0503 for language models, and R0213 for models that tell other classes apart.
    """

    models: Sequence[Trained]

    @property
    def target(self) -> str:
        """What is predicted: `category`, `mask`, ..."""
        return self.models[0].stage.recipe["data"]["target"]

    @property
    def of_texts(self) -> bool:
        """Whether texts are predicted, not images."""
        return "tokenizer" in self.models[0].stage.placing["data"]

    @cached_property
    def vocab(self) -> Sequence[str]:
        """The names of the classes; none where numbers are predicted."""
        return self.models[0].learner.dls.vocab

    def files(
        self,
        paths: Paths,
        *,
        images: str | None = None,
        batch_size: int | None = None,
        failed: Callable[[RunError], None] | None = None,
    ) -> Iterator[tuple[str, Prediction]]:
        """What the models say of files, in order, each with its path. See `Trained.predict_files`."""
        for item, said in self.said(self.found(paths, images), batch_size, failed):
            yield item.name, said

    def one(self, item: str | os.PathLike[str] | Image.Image) -> Prediction:
        """What the models say of one item. Raises RunError R0503 for what is none, and what is wrong with it. See
        `Trained.predict`."""
        if isinstance(item, str) and self.of_texts:
            return next(self.texts(item, batch_size=1))
        if isinstance(item, Image.Image) and not self.of_texts:
            return next(self.said([self._finder().image(item)], 1))[1]
        if self.of_texts or not isinstance(item, str | os.PathLike):
            kind, wanted = (
                ("a text", "a string") if self.of_texts else ("an image", "its path or an image of Pillow")
            )
            help = "`PIL.Image.fromarray` makes an image of an array" if hasattr(item, "__array__") else None
            raise RunError(
                "R0503", f"{kind} is predicted from {wanted}, not from {type(item).__name__}", help=help
            )
        if os.path.isdir(item) or len(said := [*islice(self.files([item], batch_size=1), 2)]) != 1:
            message = f"`{os.fspath(item)}` is not one item"
            raise RunError("R0503", message, help="`predict_files` takes folders and tables")
        return said[0][1]

    def texts(self, texts: Iterable[str], *, batch_size: int | None = None) -> Iterator[Prediction]:
        """What the models say of texts, in order. See `Trained.predict_texts`."""
        for _, said in self.said(self.given(texts), batch_size):
            yield said

    # ── items ───────────────────────────────────────────────────────────────────────────────────────────

    def found(self, paths: Paths, images: str | None = None) -> Found:
        """The items of files, folders and tables; one path stands for itself. Raises RunError R0503 for `images` where
        no tables of images are read."""
        finder = self._finder(images)
        if images is not None and not finder.of_images:
            name = self.models[0].stage.name
            raise RunError("R0503", f"`{name}` reads no tables of images", help="leave `images` out")
        return finder([paths] if isinstance(paths, str | os.PathLike) else paths)

    def is_table(self, path: str) -> bool:
        """Whether a path is read as a table of images."""
        finder = self._finder()
        return finder.of_images and finder.is_table(path)

    def given(self, texts: Iterable[str]) -> Found:
        """Texts by themselves as items; one text stands for itself. Raises RunError R0503 where images are
        predicted."""
        self._must_be_of_texts()
        return given([texts] if isinstance(texts, str) else texts)

    def lines(self, stream: Iterable[bytes]) -> Found:
        """The lines of a stream as items, each a text. Raises RunError R0503 where images are predicted."""
        self._must_be_of_texts()
        return lines(stream)

    def said(
        self, items: Found, batch_size: int | None = None, failed: Callable[[RunError], None] | None = None
    ) -> Iterator[tuple[NewItem, Prediction]]:
        """What the models say of items, in order. `failed` gets what is wrong with one that is left out; without it,
        that is raised."""
        answering = self._answering
        streams = [
            answers(items, batch_size or answers.batch_size)
            for answers, items in zip(answering, tee(items, len(answering)))
        ]
        try:
            for answers in zip(*streams, strict=True):
                wrong = next((answer for answer in answers if isinstance(answer, RunError)), None)
                if wrong is None:
                    item, said = answers[0].item, _together(self.models, answers)
                    yield item, answering[0].finished(item, said)
                elif failed is None:
                    raise wrong
                else:
                    failed(wrong)
        finally:
            for stream in streams:
                stream.close()

    @cached_property
    def _answering(self) -> Sequence[ImageAnswers | TextAnswers]:
        """What answers for each model."""
        for model in self.models[1:]:
            must_share_classes(model.stage.name, model.learner.dls.vocab, self.vocab)
        if self.of_texts:
            return [TextAnswers(m.stage, m.inputs, m.learner, processes(m.means)) for m in self.models]
        return [ImageAnswers(m.stage, m.learner, m.means.workers) for m in self.models]

    def _finder(self, images: str | None = None) -> Finder:
        stage = self.models[0].stage
        channels = None if self.of_texts else stage.recipe["data"]["shape"][0]
        return Finder(stage.placing["data"]["source"], channels, images)

    def _must_be_of_texts(self) -> None:
        if not self.of_texts:
            message = f"`{self.models[0].stage.name}` is a model of images, and takes no texts"
            raise RunError("R0503", message, help="name files or folders of images")


def _said(learner: Learner, x: torch.Tensor) -> Predictions:
    """What a model says of a batch. Raises RunError where it has no memory for it, or a component fails."""
    try:
        return learner.get_preds([(x, None, torch.zeros(len(x), dtype=torch.int64))])
    except torch.OutOfMemoryError as error:
        message = f"{learner.device} has no memory for a batch of {len(x):,}"
        raise RunError("R0404", message, help="take a smaller batch size") from error
    except Exception as error:
        if (told := explained(error)) is None:
            raise
        raise told from error


def _together(models: Sequence[Trained], answers: Sequence[Answer | RunError]) -> Prediction:
    """A model's prediction, or what several models say of an item on the average."""
    said = [answer for answer in answers if isinstance(answer, Answer)]
    first, row = said[0].predictions, said[0].row
    if len(said) == 1:
        return first[row]
    each = torch.stack([answer.predictions.probabilities[answer.row] for answer in said])
    probabilities = each.mean(0)[None]
    loss = models[0].learner.loss_func
    batch = (scores(loss, probabilities, first.vocab), None, torch.zeros(1, dtype=torch.int64))
    found = get_preds(nn.Identity(), [batch], loss, first.vocab, torch.device("cpu"))
    return replace(found, probabilities=probabilities)[0]


def _named(error: RunError, item: NewItem) -> RunError:
    """An error of an item under the name that it was given by. What helps with data to train on is left out."""
    return RunError(error.code, error.message.replace(f"`{item.item}`", f"`{item.name}`"), notes=error.notes)
