"""Where tensors live and in which precision networks learn: the one place that knows about CPU, CUDA and MPS."""

from typing import Literal

import torch

from adkit.errors import OptionError, nearest

NAMES = ("auto", "cpu", "cuda", "mps")
Precision = Literal["auto", "32", "bf16"]


def pick_device(name: str = "auto") -> str:
    """Return the device to use: "auto" takes CUDA, then MPS, then the CPU; "cuda:1" and the like are kept.

    Raises OptionError for one that is not there. CUDA's convolutions are float32 from then on, as the CPU's are.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
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
        told = f"there is no device {name!r}: this machine offers torch {count} of {kind}, counted from 0"
        raise OptionError(told, hint=f"use --device {kind}")
    if kind != "cuda":
        return kind
    torch.backends.cudnn.allow_tf32 = False  # with its 10 bits, scores could differ in the third digit
    return name


def pick_precision(device: str, choice: Precision = "auto") -> torch.dtype:
    """Return the type that multiplies in training; "auto": bfloat16 or float16 where it is fast, else float32."""
    if choice != "auto":
        return torch.float32 if choice == "32" else torch.bfloat16
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if device == "cpu" and _cpu_multiplies_bf16() else torch.float32


def _cpu_multiplies_bf16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.10 or so
    found = capabilities() if capabilities else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
