"""Batches of a data block, on the device that trains.

Which items make a batch depends on the seed, the stage and the epoch alone, never on the number of workers or
on what was drawn before; so a run that stopped between two batches goes on with the very next one.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mfc.runtime.cores import cores
from mfc.runtime.data.datasets import Fetched, FileImages, Key, PackedImages
from mfc.runtime.data.item_transforms import pipeline
from mfc.runtime.data.items import Items
from mfc.runtime.data.masks import Masks
from mfc.runtime.data.pack import OnError, Packed
from mfc.runtime.data.targets import encoded
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream

log = logging.getLogger(__name__)

Pipeline: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]
"""(uint8 images `b c h w`, item ids `b` on the CPU, epoch) -> float32 images, on the images' device. For items with
masks it has `with_masks` as well, as `BatchPipeline` does."""


class Batch(NamedTuple):
    """What a loader yields.

    Args:
        x: images, float32, `b c h w`.
        y: targets: int64 places in the vocabulary, `b`; float32 0 and 1, `b classes`; float32 values, `b` or `b n`; or
            the classes of pixels, int64 `b h w`, -100 for those of none. None for items without labels, of which a
            trained model may be asked.
        items: ids, int64, `b`, always on the CPU.
    """

    x: Tensor
    y: Any
    items: Tensor


class BatchSampler(Sampler[Key]):
    """The batches of an epoch as `(epoch, ids)`.

    Args:
        ids: of the items, int64.
        shuffle: where the order comes from, None for the order of `ids`.
        drop_last: leave out a last batch that is not full, if it is not the only one.
    """

    def __init__(self, ids: Tensor, batch_size: int, shuffle: Stream | None, drop_last: bool) -> None:
        self.ids, self.batch_size, self.shuffle = ids, batch_size, shuffle
        self.count = len(ids) // batch_size if drop_last else -(-len(ids) // batch_size)
        self.count = max(self.count, 1)
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Key]:
        """The batches from number `start` on, of epoch `epoch`."""
        ids = self.ids
        if self.shuffle is not None:
            generator = torch.Generator().manual_seed(self.shuffle.torch_seed(self.epoch))
            ids = ids[torch.randperm(len(ids), generator=generator)]
        for batch in ids.split(self.batch_size)[self.start : self.count]:
            yield self.epoch, batch


class Loader:
    """The batches of one part. Iterating over it gives one epoch and sets the next.

    Args:
        dataset: gives images for `(epoch, ids)`.
        sampler: says which ids make a batch.
        targets: of all items, by id; None where they have none, or masks.
        transform: the batch transforms, in the form for this part.
        workers: processes that fetch images; 0 fetches them in this one.
        masked: whether the last channel of the images is their mask.
    """

    def __init__(
        self,
        dataset: Dataset,
        sampler: BatchSampler,
        targets: Tensor | None,
        transform: Any,
        device: torch.device,
        workers: int = 0,
        masked: bool = False,
    ) -> None:
        self.dataset, self.sampler, self.transform = dataset, sampler, transform
        self.device, self.workers, self.masked = device, workers, masked
        self.targets = None if targets is None else targets.to(device)
        self.skipped: dict[str, str] = {}
        self._batches: DataLoader[Fetched | RunError] | None = None
        self._resume_at = self._position = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """The next iteration gives this epoch, from its first batch on."""
        self.sampler.epoch = epoch
        self._resume_at = self._position = 0

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.sampler.epoch
        self.sampler.start = self._position = self._resume_at
        self._resume_at = 0
        for fetched in self._fetch():
            if isinstance(fetched, RunError):
                raise fetched
            self._note_skipped(fetched.skipped)
            x = fetched.images.to(self.device, non_blocking=True)
            self._position += 1
            yield self._batch(x, fetched.items, epoch)
        self.set_epoch(epoch + 1)

    def _batch(self, x: Tensor, items: Tensor, epoch: int) -> Batch:
        if self.masked:
            x, y = self.transform.with_masks(x[:, :-1], x[:, -1], items, epoch)
            return Batch(x, y, items)
        y = None if self.targets is None else self.targets[items.to(self.device, non_blocking=True)]
        return Batch(self.transform(x, items, epoch), y, items)

    def state_dict(self) -> dict[str, int]:
        """Where it stands: the epoch, and how many of its batches were given out."""
        return {"epoch": self.sampler.epoch, "batch": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next iteration goes on where `state_dict` was taken."""
        self.set_epoch(state["epoch"])
        self._resume_at = self._position = state["batch"]

    def close(self) -> None:
        """Ends the worker processes."""
        self._batches = None

    def _fetch(self) -> Iterator[Fetched | RunError]:
        if self.workers == 0:
            for key in self.sampler:
                yield self.dataset[key]
            return
        if self._batches is None:
            self._batches = DataLoader(
                self.dataset,
                batch_size=None,  # the sampler's keys are whole batches
                sampler=self.sampler,
                num_workers=self.workers,
                collate_fn=_as_it_is,
                pin_memory=self.device.type == "cuda",
                worker_init_fn=_start_worker,
                persistent_workers=True,
                generator=torch.Generator(),  # or each epoch would draw from the global one
                # a fork has the user's components, which another process could not import by name
                multiprocessing_context="fork" if sys.platform == "linux" else None,
            )
        try:
            yield from self._batches
        except RuntimeError as error:
            if "worker" not in str(error):
                raise
            raise RunError(
                "R0112",
                f"a worker process that loads images ended: {error}",
                help="it may have run out of memory, or of shared memory (/dev/shm): try fewer `workers`",
            ) from error

    def _note_skipped(self, skipped: dict[str, str]) -> None:
        for item, why in skipped.items():
            if item not in self.skipped:
                self.skipped[item] = why
                log.warning("left out: %s", why)


class DataLoaders:
    """The loaders of a data block.

    Args:
        items: what the stage `items` found.
        images: the packed file of the stage `pack`, or the source to decode from, and then
        item_transforms: what to do to each image. Packed ones have it behind them.
        train_pipeline, valid_pipeline: the batch transforms as in training and as in evaluation.
        batch_size: items in a batch.
        seed, stage: where the order and the draws of item transforms come from.
        workers: processes for each loader; by default none for packed images, else one a core, at most 16.
        on_error: what to do with a broken image, as in `FileImages`.
        masks: of the items, where these are their targets.

    Attributes:
        train: shuffled, without a last batch that is not full.
        valid: in order, with all items.
        vocab: the labels, by target.
        skipped: broken images that were left out up to now, and why.

    Raises RunError R0106 where broken images leave a part empty.
    """

    def __init__(
        self,
        items: Items,
        images: Packed | Any,
        train_pipeline: Pipeline,
        valid_pipeline: Pipeline,
        batch_size: int = 64,
        item_transforms: Sequence[Any] = (),
        seed: int = 42,
        stage: str = "",
        device: torch.device | str = "cpu",
        workers: int | None = None,
        on_error: OnError = "stop",
        masks: Masks | None = None,
    ) -> None:
        self.items, self.vocab, self.device = items, items.vocab, torch.device(device)
        self.batch_size = batch_size
        self._images, self._item_transforms = images, item_transforms
        self._pipelines = {True: train_pipeline, False: valid_pipeline}
        self._seed, self._stage = seed, stage
        self._on_error: OnError = on_error
        self._masks = masks
        packed = isinstance(images, Packed)
        self.workers = workers if workers is not None else 0 if packed else min(cores(), 16)
        self._broken = images.skipped if packed else {}
        self._targets = encoded(items)
        self.train = self._loader("train", items.train, training=True)
        self.valid = self._loader("valid", items.valid, training=False)

    def __repr__(self) -> str:
        return f"<DataLoaders: {self.items.summary}, batches of {self.batch_size:,}>"

    def evaluation(self, part: Literal["train", "valid", "all"]) -> Loader:
        """A new loader of a part in evaluation form: in order, with all items, nothing drawn at random."""
        return self._loader(part, self.items.part(part), training=False)

    def augmented(self, part: Literal["train", "valid", "all"]) -> Loader:
        """A new loader of a part in training form, in order and with all items: each epoch draws anew."""
        return self._loader(part, self.items.part(part), training=True, whole=True)

    @property
    def skipped(self) -> dict[str, str]:
        return self._broken | self.train.skipped | self.valid.skipped

    def close(self) -> None:
        """Ends the worker processes of both loaders."""
        self.train.close()
        self.valid.close()

    def _loader(self, part: str, ids: Sequence[int], training: bool, whole: bool = False) -> Loader:
        """A loader in training form or not; a `whole` one has all items in order in any case."""
        ids = [i for i in ids if self.items.paths[i] not in self._broken]
        if not ids:
            raise RunError("R0106", f"the {part} part is empty: all of its images are broken")
        drawn = training and not whole
        shuffle = Stream(self._seed, self._stage, "shuffle") if drawn else None
        sampler = BatchSampler(torch.tensor(ids), self.batch_size, shuffle, drop_last=drawn)
        pin = self.device.type == "cuda" and self.workers == 0
        if isinstance(self._images, Packed):
            dataset = PackedImages(self._images, pin)
        else:
            transforms = pipeline(self._item_transforms, training)
            stream = Stream(self._seed, self._stage, "item_transforms")
            dataset = FileImages(
                self._images, self.items.paths, transforms, stream, self._on_error, pin, self._masks
            )
        transform, masked = self._pipelines[training], self._masks is not None
        return Loader(dataset, sampler, self._targets, transform, self.device, self.workers, masked)


def _as_it_is(fetched: Any) -> Any:
    return fetched


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches the whole group of processes; the parent decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
