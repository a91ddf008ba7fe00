"""Losses of our own: one that gives the loss of each item, one that does not."""

from torch.nn.functional import cross_entropy

import mfc


@mfc.loss(shape="b classes", targets=("category",), per_item=True)
class each_item:
    """Cross entropy with the loss of each item."""

    def __call__(self, pred, target):
        return self.each(pred, target).mean()

    def each(self, pred, target):
        return cross_entropy(pred, target, reduction="none")


@mfc.loss(shape="b classes", targets=("category",))
def whole_batch():
    """Cross entropy of the whole batch."""
    return cross_entropy
