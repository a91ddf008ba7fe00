"""What an optimizer is composed of: parts, each applied to one piece of the parameters after another."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from mfc.runtime.kernels import norms

Lying: TypeAlias = tuple[int, int, int]
"""How the first dimension of a parameter, the rows, lies in memory among the others: `outer rows inner`."""


class Part:
    """A stat or a stepper: one part of an optimizer's update.

    What it keeps and reads is said by its decorator, `@stat(keeps=("grad_avg",))` or
    `@stepper(reads=("grad_avg", "step"))`, so that a spec is checked without running it.

    Attributes:
        hypers: the hyperparameters that it reads, with their defaults: the numbers among the arguments of its
            constructor that need not be whole, by their names.
        copies: those of its state that are copies of parameters: they are taken anew where these are changed from
            outside, as by a callback that puts the best weights back.
    """

    __mfc_facts__: Mapping[str, Any] = {}

    hypers: Mapping[str, float] = {}
    copies: tuple[str, ...] = ()

    @property
    def keeps(self) -> tuple[str, ...]:
        """Names of its state: for each a tensor as large as the piece, zeros at first, and for `"step"` the
        number of the update."""
        return tuple(self.__mfc_facts__.get("keeps", ()))

    @property
    def reads(self) -> tuple[str, ...]:
        """What it needs of the parts before it: names that they keep."""
        return tuple(self.__mfc_facts__.get("reads", ()))

    @property
    def changes_grad(self) -> bool:
        """Whether it puts another gradient in the place of the piece's."""
        return bool(self.__mfc_facts__.get("changes_grad", False))

    @property
    def whole(self) -> bool:
        """Whether it needs parameters whole: then no piece is a stretch of one, and all give their `matrices`."""
        return bool(self.__mfc_facts__.get("whole", False))

    @property
    def measures(self) -> bool:
        """Whether it needs norms over whole parameters."""
        return type(self).measure is not Part.measure

    def measure(self, piece: Piece, hyper: Mapping[str, float]) -> Sequence[torch.Tensor]:
        """Tensors of the piece's size whose norms over each whole parameter the call needs: `piece.norms`.

        Comes after the calls of the parts before it. What it leaves in `piece.scratch` is there in the call.
        """
        return ()

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        """Updates the piece in place, with the current hyperparameters of its group; autograd is off."""
        raise NotImplementedError


class Scratch:
    """Memory for intermediate results, used by the pieces of one parameter after those of another."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._whole: dict[str, torch.Tensor] = {}
        self._views: dict[tuple[str, int, int, int], torch.Tensor] = {}
        self._lock = threading.Lock()

    def take(self, name: str, start: int, stop: int, total: int) -> torch.Tensor:
        """Elements `start` to `stop` of the `total` under a name: 1-D, with what the last user left in them."""
        key = name, start, stop, total
        view = self._views.get(key)
        if view is None:
            with self._lock:  # pieces of one parameter may be updated side by side
                whole = self._whole.get(name)
                if whole is None or whole.numel() < total:
                    whole = self._whole[name] = torch.empty(total, device=self.device, dtype=self.dtype)
                    self._views = {other: view for other, view in self._views.items() if other[0] != name}
                view = self._views[key] = whole[start:stop]
        return view


class Piece:
    """A stretch of parameters of one group that have had equally many updates, laid flat.

    It is a stretch of one parameter, or several whole ones that are small.

    Attributes:
        p: parameters, 1-D.
        grad: their gradients, 1-D. A part may put another tensor in its place; it never writes into it.
        step: the number of this update, from 1; only where a part keeps `"step"`.
        norms: in the call of a part that measures, the norms over each whole parameter of what `measure` gave,
            in the form that goes with the piece: one number, or where several parameters are in it, for each
            element that of its parameter.
        grad_weight, sqr_weight: how much the newest gradient counts in `grad_avg` and `sqr_avg`; the stat that
            keeps them says so where it isn't 1.

    Each name that a stat `keeps` is an attribute too: a 1-D tensor.
    """

    p: torch.Tensor
    grad: torch.Tensor
    step: int
    norms: Sequence[torch.Tensor]
    grad_weight: float = 1.0
    sqr_weight: float = 1.0

    def __init__(
        self,
        p: torch.Tensor,
        state: Mapping[str, torch.Tensor],
        shapes: Sequence[Lying],
        sizes: list[int] | None = None,
    ) -> None:
        self.p = p
        self.shapes = shapes
        self.sizes = sizes
        self._counts = None if sizes is None else torch.tensor(sizes, device=p.device)
        self.__dict__.update(state)

    def lend(self, scratch: Scratch, start: int, total: int, step: int) -> None:
        """Says where the memory for this update's intermediate results is, and the update's number.

        The piece's memory starts at element `start` of `total`.
        """
        self._scratch, self._place, self.step = scratch, (start, start + self.p.numel(), total), step

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> torch.Tensor: ...

    def scratch(self, name: str) -> torch.Tensor:
        """Memory of the piece's size for an intermediate result; parts that use one name share it."""
        return self._scratch.take(name, *self._place)

    def matrices(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """A tensor of the piece's size, which holds whole parameters, as a matrix of each: `rows outer inner`, views.

        A row is what belongs to one output of a layer: the weight of a convolution is `out (in kh kw)`, a parameter of
        one dimension has one column. The columns `outer inner` are in the order in which they lie in memory.
        """
        each = tensor.split([prod(shape) for shape in self.shapes])
        return [part.view(shape).transpose(0, 1) for part, shape in zip(each, self.shapes)]

    def own_norms(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The norms of tensors of the piece's size, of what lies in this piece: in single precision at least, one
        number, or one for each of its parameters."""
        if self.sizes is None:
            return [torch.linalg.vector_norm(tensor, dtype=wide(tensor.dtype)) for tensor in tensors]
        return [
            torch.stack(norms(torch.split(tensor.to(wide(tensor.dtype)), self.sizes))) for tensor in tensors
        ]

    def take_norms(self, norms: Sequence[torch.Tensor]) -> None:
        """Takes the norms over whole parameters: one number each, or one for each of its parameters."""
        if self._counts is not None:
            numel = self.p.numel()
            norms = [torch.repeat_interleave(norm, self._counts, output_size=numel) for norm in norms]
        self.norms = norms


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type in which norms of tensors of a type are taken."""
    return torch.promote_types(dtype, torch.float32)
