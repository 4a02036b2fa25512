"""Where tensors live: the one place that knows about CPU, CUDA and MPS."""

from __future__ import annotations

import torch

from adkit.errors import OptionError, nearest

NAMES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str = "auto") -> str:
    """The device to use: "auto" takes CUDA, then MPS, then the CPU; "cuda:1" and the like are kept.

    Raises OptionError for a device that this machine does not have.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if available[device])
    kind = name.partition(":")[0]
    if kind not in available:
        raise OptionError(f"there is no device {name!r}", hint=nearest(name, NAMES))
    if not available[kind]:
        raise OptionError(f"this machine offers torch no {kind} device", hint="use --device auto or cpu")
    return name


def synchronize(device: str) -> None:
    """Waits until the device has done all its work: before a clock is read."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
