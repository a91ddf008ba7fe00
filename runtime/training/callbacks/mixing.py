"""Training on mixtures of two items of a batch, with their losses mixed as the items are."""

from __future__ import annotations

import math
from random import Random
from typing import Annotated, Any

import torch

from mfc.runtime.component import Range, callback
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream
from mfc.runtime.training.events import Callback


class Mixing(Callback):
    """Mixes each item of a training batch with another one of it, and the two losses by the same share.

    A subclass gives `kept`. Shares and partners follow from the seed and the place in the run, so that a resumed
    training draws the same.

    Attributes:
        share: how much of each item is left of itself, float32, `b`, on the Learner's device.
        partners: the places of those that they are mixed with, int64, `b`.
    """

    order = -10  # before_batch: before memory formats, which a mixed batch has to get anew
    share: torch.Tensor
    partners: torch.Tensor

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def kept(self, x: torch.Tensor, rng: Random) -> torch.Tensor:
        """How much of the numbers of a batch is left, from 0 to 1, in a shape that goes with it; sets `share`."""
        raise NotImplementedError

    def before_fit(self) -> None:
        learner, loss = self.learner, self.learner.loss_func
        self.plain = loss
        self.stream = Stream(learner.seed, learner.stage, type(self).__name__)
        if not callable(getattr(loss, "each", None)):
            what = getattr(loss, "__name__", type(loss).__name__)
            message = f"`{type(self).__name__}` needs the loss of each item, and `{what}` has no `each(pred, target)`"
            help = (
                "give it one: it returns the losses of the items, `b`, and the decorator says `per_item=True`"
            )
            raise RunError("R0235", message, help=help)

    def before_epoch(self) -> None:
        self.learner.loss_func = self.plain  # an epoch that was cut short had no `after_train`

    def before_train(self) -> None:
        self.learner.loss_func = MixedLoss(self.plain, self)

    def before_batch(self) -> None:
        learner = self.learner
        if not learner.training:
            return
        x = learner.x
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            what = str(x.dtype).removeprefix("torch.") if isinstance(x, torch.Tensor) else type(x).__name__
            raise RunError(
                "R0236",
                f"`{type(self).__name__}` can't mix inputs of {what}",
                help="it is for images and other inputs whose values can be averaged",
            )
        rng = self.stream.generator(learner.epoch, learner.batch)
        partners = list(range(len(x)))
        rng.shuffle(partners)
        self.partners = torch.tensor(partners, device=x.device)
        others = torch.index_select(x, 0, self.partners, out=torch.empty_like(x))  # in the same memory format
        learner.x = others.lerp_(x, self.kept(x, rng).to(x.dtype))

    def after_train(self) -> None:
        self.learner.loss_func = self.plain


class MixedLoss:
    """A loss against the targets of both items of each mixture. All else is that of the loss."""

    def __init__(self, loss: Any, mixing: Mixing) -> None:
        self.loss, self.mixing = loss, mixing

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean of the mixed losses; a weighted one has its weights mixed as well, so that it is the one against a
        target that is mixed itself."""
        own, own_weights = _each(self.loss, pred, target)
        others, weights = _each(self.loss, pred, target[self.mixing.partners])
        share = self.mixing.share.to(own.dtype)
        mixed = others.lerp(own, share)
        if own_weights is None or weights is None:
            return mixed.mean()
        return mixed.sum() / weights.lerp(own_weights, share).sum()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loss, name)


def _each(loss: Any, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The losses of the items, `b`, and what they count, where a loss says so. Raises R0235 for other shapes."""
    found = loss.each(pred, target)
    losses, weights = found if isinstance(found, tuple) else (found, None)
    for tensor in (losses, losses if weights is None else weights):
        if tensor.shape != (len(pred),):
            shape = "x".join(map(str, tensor.shape)) or "one number"
            message = f"`each` of the loss `{type(loss).__name__}` gives {shape} for {len(pred)} items"
            raise RunError("R0235", message, help="it gives one loss for each item")
    return losses, weights


@callback(mixes=("image",), targets=("category", "multi_category", "value", "mask"))
class mixup(Mixing):
    """Trains on weighted means of two items, with the same mean of their losses (Zhang et al., "mixup", 2018).

    The share of each item is drawn for itself, and at least one half, as in fastai. The history shows the mixed loss
    in training and the plain one in validation. Raises R0235 for a loss that does not give the loss of each item, and
    R0236 for inputs that are no fractions.

    Args:
        alpha: shares are drawn from Beta(alpha, alpha): the smaller, the more often an item stays nearly itself.
    """

    def __init__(self, alpha: Annotated[float, Range(above=0)] = 0.4) -> None:
        super().__init__(alpha)

    def kept(self, x: torch.Tensor, rng: Random) -> torch.Tensor:
        shares = [rng.betavariate(self.alpha, self.alpha) for _ in range(len(x))]
        self.share = torch.tensor([max(share, 1 - share) for share in shares], device=x.device)
        return self.share.view(-1, *[1] * (x.ndim - 1))


@callback(mixes=("image",), targets=("category", "multi_category", "value"))
class cutmix(Mixing):
    """Trains on images with a box out of another one, with their losses mixed by area (Yun et al., "CutMix", 2019).

    Each item has a box of its own, whose centre is drawn anywhere in the image; what lies outside is cut off, and the
    share of the loss is what is left of the area. The history shows the mixed loss in training and the plain one in
    validation. Raises R0235 for a loss that does not give the loss of each item, and R0236 for what is no image.

    Args:
        alpha: the area that an image keeps is drawn from Beta(alpha, alpha); 1 makes all areas as likely.
    """

    def __init__(self, alpha: Annotated[float, Range(above=0)] = 1.0) -> None:
        super().__init__(alpha)

    def kept(self, x: torch.Tensor, rng: Random) -> torch.Tensor:
        if x.ndim != 4:
            shape = "x".join(map(str, x.shape))
            raise RunError("R0236", f"`cutmix` cuts boxes out of images, and inputs are {shape}")
        height, width = x.shape[2:]
        boxes = torch.tensor([self.box(height, width, rng) for _ in range(len(x))], device=x.device)
        top, bottom, left, right = boxes[:, :, None].unbind(1)
        row, column = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        rows, columns = (row >= top) & (row < bottom), (column >= left) & (column < right)
        self.share = 1 - rows.sum(1) * columns.sum(1) / (height * width)
        return (~(rows[:, None, :, None] & columns[:, None, None, :])).float()

    def box(self, height: int, width: int, rng: Random) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of one box, the ends left out."""
        side = math.sqrt(1 - rng.betavariate(self.alpha, self.alpha))
        y, x = rng.randrange(height), rng.randrange(width)
        h, w = int(height * side) // 2, int(width * side) // 2
        return max(y - h, 0), min(y + h, height), max(x - w, 0), min(x + w, width)
