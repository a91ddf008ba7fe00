"""First weights. An initializer is called with a model and a stream of draws, and fills what it knows.

Each parameter draws from the stream by its own name, on the CPU: its first value depends neither on what else
is in the model nor on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from mfc.runtime.component import Initializer, Range, initializer
from mfc.runtime.errors import RunError
from mfc.runtime.layers.reshape import IcnrConv2d
from mfc.runtime.models import fresh, part, place
from mfc.runtime.streams import Stream
from mfc.runtime.text.match_vocab import match_vocab
from mfc.runtime.text.vocab import VOCAB, read_vocab

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""The layers whose weights are filled. Transposed convolutions keep torch's, as in fastai."""


class _Filling:
    """Fills the weights of convolutions and linear layers, and zeroes all biases."""

    def fill(self, weight: torch.Tensor, generator: torch.Generator) -> None:
        raise NotImplementedError

    def __call__(self, model: nn.Module, stream: Stream) -> None:
        """Fills the weights of `model`."""
        for name, weight in _weights(model):
            drawn = torch.empty(weight.shape, dtype=torch.float32)
            self.fill(drawn, torch.Generator().manual_seed(stream.torch_seed(place(name))))
            with torch.no_grad():
                weight.copy_(drawn)
        for module in model.modules():
            if isinstance(module, IcnrConv2d):
                module.begin_alike()
            bias = module._parameters.get("bias")
            if bias is not None:
                nn.init.zeros_(bias)


def _weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The weights to fill with their names; one that is shared comes once. A weight that is computed from
    others, as spectral norm does, is no parameter and stays as it is."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for module in model.modules():
        weight = module._parameters.get("weight") if isinstance(module, WEIGHTED) else None
        if weight is not None and (name := names.pop(id(weight), None)):
            yield name, weight


@initializer(fills=True)
class kaiming(_Filling):
    """Keeps the variance of activations through rectifiers: variance 2 / fan_in (He et al., 2015).

    The weights of convolutions and linear layers are drawn, all biases become 0: fastai's `init_cnn`.

    Args:
        leak: slope of the rectifiers below zero.
        uniform: draws evenly instead of normally.
    """

    def __init__(self, leak: Annotated[float, Range(0)] = 0.0, uniform: bool = False) -> None:
        self.leak, self.uniform = leak, uniform

    def fill(self, weight: torch.Tensor, generator: torch.Generator) -> None:
        draw = nn.init.kaiming_uniform_ if self.uniform else nn.init.kaiming_normal_
        draw(weight, a=self.leak, nonlinearity="leaky_relu", generator=generator)


@initializer(fills=True)
class xavier(_Filling):
    """Keeps the variance both forwards and backwards: 2 / (fan_in + fan_out) (Glorot and Bengio, 2010).

    The weights of convolutions and linear layers are drawn, all biases become 0.

    Args:
        gain: times the deviation, for what follows each layer: 1 for none, 5/3 for tanh.
        uniform: draws evenly, as in the paper, or normally.
    """

    def __init__(self, gain: Annotated[float, Range(above=0)] = 1.0, uniform: bool = True) -> None:
        self.gain, self.uniform = gain, uniform

    def fill(self, weight: torch.Tensor, generator: torch.Generator) -> None:
        draw = nn.init.xavier_uniform_ if self.uniform else nn.init.xavier_normal_
        draw(weight, gain=self.gain, generator=generator)


@initializer(fills=True)
class orthogonal(_Filling):
    """Weights that keep lengths: matrices with orthonormal rows or columns (Saxe et al., 2013).

    The weights of convolutions and linear layers are drawn, all biases become 0.

    Args:
        gain: times the weights.
    """

    def __init__(self, gain: Annotated[float, Range(above=0)] = 1.0) -> None:
        self.gain = gain

    def fill(self, weight: torch.Tensor, generator: torch.Generator) -> None:
        nn.init.orthogonal_(weight, gain=self.gain, generator=generator)


@initializer(fills=True)
class lecun(_Filling):
    """Keeps the variance through linear maps: variance 1 / fan_in (LeCun et al., 1998).

    What `selu()` needs to normalise by itself (Klambauer et al., 2017). The weights of convolutions and linear
    layers are drawn, all biases become 0.

    Args:
        uniform: draws evenly instead of normally.
    """

    def __init__(self, uniform: bool = False) -> None:
        self.uniform = uniform

    def fill(self, weight: torch.Tensor, generator: torch.Generator) -> None:
        draw = nn.init.kaiming_uniform_ if self.uniform else nn.init.kaiming_normal_
        draw(weight, nonlinearity="linear", generator=generator)


@initializer
class dirac:
    """Makes convolutions begin as the identity: each filter hands on the channel of its number.

    A deep net without shortcuts then begins as a shallow one (S. Zagoruyko and N. Komodakis, "DiracNets", 2017; as
    torch's `dirac_`). It holds for convolutions of one group that keep the size of what they get; of one with more
    filters than channels the rest stays as it was. Put what draws the weights before it: `[kaiming(), dirac()]`.
    """

    @torch.no_grad()
    def __call__(self, model: nn.Module, stream: Stream) -> None:
        """Fills the convolutions of `model`."""
        for module in model.modules():
            if isinstance(module, nn.modules.conv._ConvNd) and _keeps_size(module):
                nn.init.dirac_(module.weight[: module.in_channels])


def _keeps_size(module: nn.modules.conv._ConvNd) -> bool:
    if module.transposed or module.groups > 1 or isinstance(module.padding, str):
        return False
    sizes = zip(module.kernel_size, module.stride, module.padding, module.dilation)
    return all(stride == 1 and 2 * padding == dilation * (ks - 1) for ks, stride, padding, dilation in sizes)


@initializer
class file:
    """The weights of a safetensors file, which has to hold exactly those of the model.

    `only("body", file("other.safetensors", prefix = "body"))` fills one group with those of a file that holds more.

    Args:
        path: the file.
        prefix: takes the weights whose names begin with it and a dot, without it; the file may hold others.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path, self.prefix = Path(path).expanduser(), prefix

    def __call__(self, model: nn.Module, stream: Stream) -> None:
        """Loads all weights of `model`. Raises RunError R0255, R0256, and R0269 where none has the prefix."""
        tensors, source = _read(self.path), f"{self.path}"
        if self.prefix:
            own, source = below(tensors, self.prefix), f"`{self.prefix}` in {source}"
            if not own:
                first = ", ".join(dict.fromkeys(name.partition(".")[0] for name in tensors))
                raise RunError("R0269", f"there are no weights of {source}", help=f"the file has {first}")
            tensors = own
        load_weights(model, tensors, source)


@initializer
class only:
    """Fills one group of a model, and leaves the others as they are.

    `only("head", kaiming())` is what fastai does to the head of a pretrained body.

    Args:
        group: its name, as in the state dict: `"head"`, `"body.stem"`.
        weights: an initializer, or several in order; for them, the group is the whole model.
    """

    def __init__(self, group: str, weights: Initializer | list[Initializer]) -> None:
        self.group, self.weights = group, weights if isinstance(weights, list) else [weights]

    def __call__(self, model: nn.Module, stream: Stream) -> None:
        """Fills the group of `model`. Raises RunError R0255 where there is none."""
        target = _part(model, self.group)
        for initialize in self.weights:
            initialize(target, stream)


def from_training(
    folder: Path,
    group: str | None = None,
    vocab: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Callable[[nn.Module, Stream], None]:
    """An initializer that takes what a training left in `folder`: all weights, or those of one group.

    Where that training's texts were made of other tokens than `vocab`, weights of tokens go by token (see
    `match_vocab`), and `say` is told how many were known.
    """

    def fill(model: nn.Module, stream: Stream) -> None:
        from mfc.runtime.training.train import MODEL

        tensors = _read(folder / MODEL)
        if group is None:
            load(model, tensors, "the trained model")
            return
        own = below(tensors, group)
        load(_part(model, group), own, f"`{group}` of the trained model")
        say(f"{group}: {len(own)} tensors from the trained model{fresh(model, group)}")

    def load(module: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
        if vocab is not None and (folder / VOCAB).exists():
            theirs = read_vocab(folder)
            if theirs != vocab:
                tensors, known = match_vocab(module, tensors, theirs, vocab)
                say(f"{source}: {known:,} of {len(vocab):,} tokens were known; others start from the mean")
        load_weights(module, tensors, source)

    return fill


def below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with a prefix and a dot, by what follows."""
    return {n.removeprefix(f"{prefix}."): t for n, t in tensors.items() if n.startswith(f"{prefix}.")}


def _part(model: nn.Module, group: str) -> nn.Module:
    try:
        return part(model, group)
    except KeyError:
        message = f"the model has no part `{group}`, whose weights were to be filled"
        raise RunError("R0255", message, help="groups of both models need the same name") from None


def load_weights(module: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Copies weights into a module by name. Raises RunError R0255 unless names and shapes are the same."""
    own = module.state_dict()
    notes = [f"only in {source}: {_some(tensors.keys() - own.keys())}"] if tensors.keys() - own.keys() else []
    notes += (
        [f"only in the model: {_some(own.keys() - tensors.keys())}"] if own.keys() - tensors.keys() else []
    )
    for name in sorted(own.keys() & tensors.keys()):
        if own[name].shape != tensors[name].shape:
            notes.append(f"`{name}` is {list(tensors[name].shape)} there and {list(own[name].shape)} here")
    if notes:
        raise RunError("R0255", f"the weights of {source} do not fit the model", notes=notes[:6])
    module.load_state_dict(tensors)


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError

    from mfc.runtime.training.checkpoint import read_tensors

    try:
        return read_tensors(path)
    except (OSError, SafetensorError) as error:
        message = f"{path} can't be read as weights: {error}"
        raise RunError("R0256", message, help="weights are kept in safetensors files") from None


def _some(names: set[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
