"""Where tensors live and in which precision networks learn: the one place that knows about CPU, CUDA and MPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from adkit.errors import OptionError, nearest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

NAMES = ("auto", "cpu", "cuda", "mps")
Precision = Literal["auto", "32", "bf16"]


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


def pick_precision(device: str, choice: Precision = "auto") -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """How a network on this device learns, in Fabric's words.

    "auto" is mixed precision where the hardware multiplies bfloat16 itself (there it is several times faster, on
    CPUs too) or, on older GPUs, float16; elsewhere it is float32.
    """
    if choice != "auto":
        return "32-true" if choice == "32" else "bf16-mixed"
    if device.startswith("cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if device == "cpu" and _cpu_multiplies_bf16() else "32-true"


def new_fabric(device: str, precision: Precision = "auto", processes: int = 1) -> Fabric:
    """Lightning Fabric on this device; with several processes, one for each GPU (or all on the CPU).

    Raises OptionError for more processes than there are GPUs.
    """
    from lightning_fabric import Fabric  # takes a second to import

    from adkit.nn.training.mixed_precision import FullInputs

    kind, _, index = device.partition(":")
    if kind == "cuda" and processes > torch.cuda.device_count():
        raise OptionError(
            f"processes={processes}, but this machine offers torch {torch.cuda.device_count()} GPUs",
            hint="one process for each GPU",
        )
    if index and processes > 1:
        raise OptionError(f"processes={processes} on {device}, which is one device", hint=f"use --device {kind}")
    if kind == "mps" and processes > 1:
        raise OptionError(f"processes={processes}, but mps is one device", hint="leave processes at 1")
    devices: Any = [int(index)] if index and processes == 1 else processes
    strategy = "ddp_spawn" if processes > 1 else "auto"
    how = pick_precision(device, precision)
    plugins: Any = [] if how == "32-true" else [FullInputs(how, kind)]
    return Fabric(accelerator=kind, devices=devices, strategy=strategy, plugins=plugins)


def _cpu_multiplies_bf16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.10 or so
    found = capabilities() if capabilities else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
