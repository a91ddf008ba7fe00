"""Which device a run trains on, and what it can do."""

from __future__ import annotations

import torch

from mfc.runtime.bfloat16 import has_bf16
from mfc.runtime.errors import RunError


def choose_device(name: str = "auto") -> torch.device:
    """`auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises:
        RunError: R0401 for another name, R0402 where CUDA is asked for and can't be used.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind != "cuda" or (":" in name and not index.isdecimal()):
        raise RunError("R0401", f"`{name}` is no device", help="devices are auto, cpu, cuda and cuda:N")
    if not torch.cuda.is_available():
        if torch.version.cuda is None:
            reason, mend = "this torch was built without CUDA", "install a CUDA build of torch"
        else:
            reason, mend = "no usable CUDA device was found", "check the driver with nvidia-smi"
        raise RunError("R0402", f"can't use {name}: {reason}", help=f"{mend}, or use --device cpu")
    count = torch.cuda.device_count()
    if index and int(index) >= count:
        found = "there is 1 CUDA device" if count == 1 else f"there are {count} CUDA devices"
        raise RunError("R0402", f"can't use {name}: {found}", help=f"use cuda:0 to cuda:{count - 1}")
    return torch.device("cuda", int(index) if index else torch.cuda.current_device())


def require_dtype(device: torch.device, dtype: torch.dtype) -> None:
    """Raises R0403 where `device` can't compute in `dtype`, bfloat16 or float16."""
    if dtype is torch.float16:
        supported, other = device.type == "cuda", "bf16"
    elif device.type == "cuda":
        supported, other = has_bf16(device), "fp16"
    else:
        supported, other = torch.amp.is_autocast_available(device.type), ""
    if not supported:
        short = str(dtype).removeprefix("torch.")
        what = "is not trained in" if dtype is torch.float16 else "has no arithmetic of"
        help = f'use mixed_precision(dtype = "{other}")' if other else "leave mixed_precision() out"
        help += ", or train on another device"
        raise RunError("R0403", f"{describe_device(device)} {what} {short}", help=help)


def describe_device(device: torch.device) -> str:
    """The device as a person knows it: `cpu`, or the GPU's product name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
