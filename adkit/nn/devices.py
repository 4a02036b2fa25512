"""Where tensors live: the one place that knows about CPU, CUDA and MPS."""

from __future__ import annotations

import torch

from adkit.errors import OptionError, nearest

NAMES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str = "auto") -> str:
    """The device to use: "auto" takes CUDA, then MPS, then the CPU; "cuda:1" and the like are kept.

    The CPU and MPS are one device each, "cpu" and "mps". Raises OptionError for a device that this machine
    does not have.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if available[device])
    kind = name.partition(":")[0]
    if kind not in available:
        raise OptionError(f"there is no device {name!r}", hint=nearest(name, NAMES))
    if not available[kind]:
        raise OptionError(f"this machine offers torch no {kind} device", hint="use --device auto or cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"{name!r} is not a device", hint=f"use {kind}, or a number as in cuda:0") from None
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if device.index is not None and device.index >= count:
        raise OptionError(
            f"there is no device {name!r}: this machine offers torch {count} of {kind}, counted from 0",
            hint=f"use --device {kind}",
        )
    return name if kind == "cuda" else kind
