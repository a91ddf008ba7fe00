"""A body from another library: its declared shape, its parameter groups, its pretrained weights.

A body gives the features of images, `b channels h w -> b features h' w'`, as its library's own network has them
before it pools. What it gives is declared beside its component, so that a check needs no library; each batch is held
against the declaration.
"""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mfc.runtime.errors import RunError

RGB = 3

COUNTER = "num_batches_tracked"
"""The count of batches in a batch norm: older files do not have it, and nothing is computed from it here."""

DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")
"""The names in torchvision's files of densenets, `norm.1.` for what its modules call `norm1.`."""

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Declared:
    """What is said of a body: which it is, what it gives, where its parameter groups begin.

    Attributes:
        channels: of the images.
        name: the architecture's name in its library.
        pretrained: whether to begin with the library's weights, or a file of weights.
        tag: which of the library's weights.
        splits: the parts of the body with which a further parameter group begins.
        features: channels that it gives.
        reduction: what height and width are divided by: first by `patch`, rounding down, last by `floored`, rounding
            down, and between by the rest, rounding up.
    """

    channels: int
    name: str
    pretrained: bool | Path
    tag: str | None
    splits: list[str] | None
    features: int | None
    reduction: int | None
    patch: int | None
    floored: int | None

    def gives(self, height: int, width: int) -> tuple[int, int, int]:
        """The shape of an image's features, as the shape rule has it."""
        patch, floored = self.patch or 1, self.floored or 1
        middle = (self.reduction or 32) // patch // floored
        first, second = (-(-(side // patch) // middle) // floored for side in (height, width))
        return self.features or 0, first, second


class Body(nn.Module):
    """What bodies of all libraries share. A subclass builds its modules and then calls `complete`.

    Attributes:
        library: the library's name, as it is imported and installed.
        declared: what its arguments say; one attribute, as children have the names that their library gave them.
    """

    library = ""

    def __init__(self, declared: Declared) -> None:
        super().__init__()
        self.declared = declared

    def complete(self) -> None:
        """Fits the first convolution to the channels of the images, and looks for the parts that split the body.

        Raises:
            RunError: R0267 where the body takes RGB images alone, R0268 where a split names no part of it.
        """
        if self.declared.channels != RGB:
            parent, name, old = self.first_layer()
            parent._modules[name] = nn.Conv2d(
                self.declared.channels, old.out_channels, old.kernel_size, old.stride, old.padding, old.dilation,  # type: ignore[arg-type]
                old.groups, old.bias is not None, old.padding_mode,
            )  # fmt: skip
        modules = dict(self.inner.named_modules())
        if unknown := [split for split in self.declared.splits or () if split not in modules]:
            parts = ", ".join(name for name, _ in self.inner.named_children())
            raise RunError(
                "R0268",
                f"{self.title} has no part `{unknown[0]}`",
                help=f"its parts are {parts}, and parts of them such as `features.3`",
            )

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"`{self.declared.name}` of {self.library}"

    @property
    def inner(self) -> nn.Module:
        """The module whose state dict has the library's own names."""
        return self

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Images `b channels h w` -> features `b features h' w'`"""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b channels h w` -> `b features h' w'`. Raises RunError R0265 where that is not what was declared."""
        out = self.compute(x)
        declared = self.declared.gives(*x.shape[2:])
        if tuple(out.shape[1:]) != declared:
            taken, given, wanted = (" ".join(map(str, s)) for s in (x.shape[1:], out.shape[1:], declared))
            raise RunError(
                "R0265",
                f"{self.title} gives {given} for {taken}, and {wanted} is declared",
                help="declare what it gives: `features`, `reduction`, `patch` and `floored`",
            )
        return out

    def first_layer(self) -> tuple[nn.Module, str, nn.Conv2d]:
        """The convolution that the image enters, with its parent and its name there."""
        path = next((name for name, _ in self.inner.named_parameters()), "").rpartition(".")[0]
        above, _, name = path.rpartition(".")
        layer = self.inner.get_submodule(path)
        if not isinstance(layer, nn.Conv2d) or layer.in_channels not in (RGB, self.declared.channels):
            raise RunError(
                "R0267",
                f"{self.title} takes images of {RGB} channels, here are {self.declared.channels}",
                help="read the images with `channels = 3`",
            )
        return self.inner.get_submodule(above), name, layer

    def parameter_parts(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of each parameter group, first layers first: a group begins with each of `splits`. Empty
        where the body is one group."""
        if not self.declared.splits:
            return {}
        parts: dict[str, list[nn.Parameter]] = {"start": []}
        here = "start"
        for path, module in self.inner.named_modules():
            here = path if path in self.declared.splits else here
            parts.setdefault(here, []).extend(module.parameters(recurse=False))
        return parts

    # ── pretrained weights ──────────────────────────────────────────────────────────────────────────────

    def load_pretrained(self) -> str:
        """Loads what `pretrained` asks for, and says what that was; nothing where it is false.

        Weights for RGB go to a first convolution of other channels as in fastai: for one channel they are added up,
        for two the first two count one and a half times, further ones begin at 0.

        Raises:
            RunError: R0255 and R0256 for a file that does not fit or can't be read, R0264 where the library's hub
                can't be reached, R0266 where it has no such weights.
        """
        if self.declared.pretrained is False:
            return ""
        if self.declared.pretrained is not True:
            file = Path(self.declared.pretrained).expanduser()
            source, tensors = str(file), read_weights(file)
        else:
            source, tensors = f"{self.library}'s {self.declared.name} ({self.declared.tag})", self.download()
        tensors = {DENSE_LAYER.sub(r"\1\2.", name): tensor for name, tensor in tensors.items()}
        own = self.inner.state_dict()
        if self.declared.channels != RGB:
            parent, name, _ = self.first_layer()
            path = next(n for n, m in self.inner.named_modules() if m is parent._modules[name]) + ".weight"
            if path in tensors and tensors[path].shape[1] == RGB:
                tensors[path] = for_channels(tensors[path], self.declared.channels)
        self._check(own, tensors, source)
        self.inner.load_state_dict({**own, **{name: tensors[name] for name in own if name in tensors}})
        left = sorted(tensors.keys() - own.keys())
        count = len(tensors) - len(left)
        return f"{count} tensors from {source}" + (f", without {_some(left)}" if left else "")

    def download(self) -> Tensors:
        """The weights of the library's hub, from its cache where they are there."""
        raise NotImplementedError

    def untagged(self, tags: Sequence[str]) -> RunError:
        """The error that the library has no weights of that tag, only those of `tags`."""
        return RunError(
            "R0266",
            f"{self.library} has no weights {self.declared.tag or ''} of `{self.declared.name}`".replace(
                "  ", " "
            ),
            help=f"there are {', '.join(tags)}: write `tag = ...`" if tags else "train it from scratch",
        )

    def offline(self, error: Exception) -> RunError:
        """The error that the hub can't be reached."""
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return RunError(
            "R0264",
            f"the weights of `{self.declared.name}` can't be fetched from {self.library}'s hub: {reason}",
            help='fetch them where there is a network, and name the file: `pretrained = "weights.safetensors"`',
        )

    def _check(self, own: Tensors, tensors: Tensors, source: str) -> None:
        missing = sorted(n for n in own.keys() - tensors.keys() if not n.endswith(COUNTER))
        notes = [f"only in the model: {_some(missing)}"] if missing else []
        for name in sorted(own.keys() & tensors.keys()):
            if own[name].shape != tensors[name].shape:
                notes.append(
                    f"`{name}` is {list(tensors[name].shape)} there and {list(own[name].shape)} here"
                )
        if notes:
            raise RunError(
                "R0255",
                f"the weights of {source} do not fit {self.title}",
                notes=notes[:6],
            )


def library(name: str, component: str) -> Any:
    """A library that is an optional extra. Raises RunError R0263 where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        wanted = f"`{component}` needs {name}, which "
        missing = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == name
        wanted += "is not installed" if missing else f"can't be imported: {error}"
        raise RunError("R0263", wanted, help='run `pip install "mfc[vision]"`') from error


def for_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """The weight of a convolution of RGB images for images of other channels: `nf 3 k k` -> `nf channels k k`.

    One channel gets their sum, as a grey image is one of three equal channels; two get the first two times 1.5;
    of more, those after RGB begin at 0 (fastai's `_load_pretrained_weights`).
    """
    if channels == 1:
        return weight.sum(1, keepdim=True)
    if channels == 2:
        return weight[:, :2] * 1.5
    more = weight.new_zeros(len(weight), channels - RGB, *weight.shape[2:])
    return torch.cat([weight, more], 1)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, or of one of torch's that holds tensors alone (nothing in it is run).

    Raises RunError R0256 where the file can't be read.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        message = f"{path} holds more than tensors, and is not opened: it could run code"
        help = "load it where you trust it, and keep its tensors with `safetensors.torch.save_file`"
        raise RunError("R0256", message, help=help) from None
    except Exception as error:  # of the disk, of safetensors, of torch's reader
        message = f"{path} can't be read as weights: {error}"
        raise RunError("R0256", message, help="weights are .safetensors files, or torch's .pth") from error
    for name in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    tensors = (
        {n: t for n, t in found.items() if isinstance(t, torch.Tensor)} if isinstance(found, dict) else {}
    )
    if not tensors:
        raise RunError("R0256", f"{path} holds no weights", help="it should be a model's state dict")
    return tensors


def _some(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
