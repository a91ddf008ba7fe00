"""Images by their items' ids, a whole batch at a time: from a packed file, or decoded from their files.

A dataset is asked for `(epoch, ids)`, with ids int64, `b`. A worker process can't raise what its parent could
catch as it is, so what goes wrong with an item comes back as a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mfc.runtime.data.images import read
from mfc.runtime.data.masks import Masks
from mfc.runtime.data.pack import OnError, Packed, differing
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream

Key: TypeAlias = tuple[int, Tensor]


class Fetched(NamedTuple):
    """A batch before its transforms.

    Args:
        images: uint8, `b c h w`, with masks as one more channel where items have masks.
        items: their ids, int64, `b`.
        skipped: broken images that were left out, and why.
    """

    images: Tensor
    items: Tensor
    skipped: dict[str, str]


class PackedImages(Dataset):
    """Images of a packed file. Its rows stay on disk until they are asked for.

    Args:
        pin: put batches into page-locked memory, from which a GPU copies on its own. Not in a worker process.
    """

    def __init__(self, packed: Packed, pin: bool = False) -> None:
        self.packed, self.pin = packed, pin
        self.rows = torch.from_numpy(packed.images())

    def __getitem__(self, key: Key) -> Fetched:
        _, items = key
        images = torch.empty((len(items), *self.rows.shape[1:]), dtype=torch.uint8, pin_memory=self.pin)
        return Fetched(torch.index_select(self.rows, 0, items, out=images), items, {})

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedImages, (self.packed, self.pin)  # a worker that is not a fork maps the file itself


class FileImages(Dataset):
    """Images decoded from their source each time.

    Args:
        transforms: item transforms in the form that is wanted (`item_transforms.pipeline`).
        stream: where their draws come from; each item has a generator of its own in each epoch.
        on_error: `stop` gives RunError R0104 for a broken image, `skip` leaves it out of its batch.
        pin: as in `PackedImages`.
        masks: of the items.
    """

    def __init__(
        self,
        source: Any,
        paths: list[str],
        transforms: Sequence[Any],
        stream: Stream,
        on_error: OnError = "stop",
        pin: bool = False,
        masks: Masks | None = None,
    ) -> None:
        self.source, self.paths, self.transforms, self.masks = source, paths, transforms, masks
        self.stream, self.on_error, self.pin = stream, on_error, pin

    def __getitem__(self, key: Key) -> Fetched | RunError:
        try:
            return self._fetch(*key)
        except RunError as error:
            return error

    def _fetch(self, epoch: int, ids: Tensor) -> Fetched:
        images, kept, skipped = torch.empty(0), [], {}
        for i in ids.tolist():
            item = self.paths[i]
            try:
                image = read(self.source, item, self.transforms, self.stream.generator(epoch, i), self.masks)
            except RunError as error:
                if self.on_error == "stop" or error.code != "R0104":
                    raise
                skipped[item] = error.message
                continue
            if not kept:
                images = torch.empty((len(ids), *image.shape), dtype=torch.uint8, pin_memory=self.pin)
            elif image.shape != images.shape[1:]:
                raise differing(self.paths[kept[0]], images.shape[1:], item, image.shape)
            images.numpy()[len(kept)] = image
            kept.append(i)
        if not kept:
            raise RunError("R0104", "no image of a batch can be read", notes=list(skipped.values())[:3])
        return Fetched(images[: len(kept)], torch.tensor(kept), skipped)
