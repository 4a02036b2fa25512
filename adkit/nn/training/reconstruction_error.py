"""How far a reconstruction is from its input: losses to learn by, and maps to find anomalies with."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pytorch_msssim import ms_ssim, ssim
from torch import Tensor

Loss = Literal["l1", "mse", "ssim", "ms_ssim", "l1+ssim", "mse+ssim", "l1+ms_ssim"]
ErrorMap = Literal["l1", "l2", "ssim", "msgms"]

MS_SSIM_LEAST_PX = 161  # four halvings of a frame must leave more than the window's 11 px

_WINDOW = 11
_SIGMA = 1.5
_STABLE = (0.01**2, 0.03**2)  # Wang et al. 2004, for a range of 1
_GRADIENT_STABLE = 0.0026  # Xue et al. 2014 (GMSD): 170 for a range of 255
_SCALES = 4


def loss_of(name: Loss, found: Tensor, wanted: Tensor) -> Tensor:
    """Return the loss (B,), the sum of the named parts, of reconstructions, float32 (B, C, H, W) in 0..1."""
    parts = [_LOSSES[part](found, wanted) for part in name.split("+")]
    return torch.stack(parts).sum(dim=0)


def error_map(name: ErrorMap, found: Tensor, given: Tensor) -> Tensor:
    """Return the error of each position (B, H, W) between a reconstruction and its input, float32 (B, 3, H, W) in 0..1.

    l1 and l2 are means over the colours; ssim is 1 - the local similarity (window of 11 px); msgms is 1 - the
    similarity of the gradients' magnitudes, mean over 4 scales (Zavrtanik et al., RIAD, 2021).
    """
    return _MAPS[name](found, given)


def _ssim_map(found: Tensor, given: Tensor) -> Tensor:
    """Return 1 - SSIM at each position, mean over the colours; what lies beyond the border is as at the border."""
    line = torch.exp(-(torch.arange(_WINDOW, device=found.device) - _WINDOW // 2).float().square() / (2 * _SIGMA**2))
    line = line / line.sum()

    def local(values: Tensor) -> Tensor:
        channels = values.shape[1]
        padded = F.pad(values, [_WINDOW // 2] * 4, mode="replicate")
        rows = F.conv2d(padded, line.reshape(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)
        return F.conv2d(rows, line.reshape(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)

    first, second = local(found), local(given)
    variance = local(found.square()) + local(given.square()) - first.square() - second.square()
    covariance = local(found * given) - first * second
    likeness = (2 * first * second + _STABLE[0]) * (2 * covariance + _STABLE[1])
    likeness = likeness / ((first.square() + second.square() + _STABLE[0]) * (variance + _STABLE[1]))
    return (1 - likeness).mean(dim=1)


def _gradient_map(found: Tensor, given: Tensor) -> Tensor:
    """Return 1 - multi-scale gradient-magnitude similarity of the grey images."""
    size = found.shape[-2:]
    one, other = found.mean(dim=1, keepdim=True), given.mean(dim=1, keepdim=True)
    total = torch.zeros(found.shape[0], 1, *size, device=found.device)  # len() would export one batch size only
    for scale in range(_SCALES):
        if scale:
            one, other = F.avg_pool2d(one, 2, ceil_mode=True), F.avg_pool2d(other, 2, ceil_mode=True)
        first, second = _gradient(one), _gradient(other)
        likeness = (2 * first * second + _GRADIENT_STABLE) / (first.square() + second.square() + _GRADIENT_STABLE)
        total = total + F.interpolate(1 - likeness, size, mode="bilinear", align_corners=False)
    return total.squeeze(1) / _SCALES


def _gradient(grey: Tensor) -> Tensor:
    across = torch.tensor([[1.0, 0.0, -1.0]] * 3, device=grey.device).reshape(1, 1, 3, 3) / 3
    padded = F.pad(grey, [1] * 4, mode="replicate")
    squares = F.conv2d(padded, across).square() + F.conv2d(padded, across.transpose(2, 3)).square()
    return (squares + 1e-12).sqrt()


_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda found, wanted: (found - wanted).abs().flatten(1).mean(dim=1),
    "mse": lambda found, wanted: (found - wanted).square().flatten(1).mean(dim=1),
    "ssim": lambda found, wanted: 1 - ssim(found, wanted, data_range=1, size_average=False),
    "ms_ssim": lambda found, wanted: 1 - ms_ssim(found, wanted, data_range=1, size_average=False),
}
_MAPS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda found, given: (found - given).abs().mean(dim=1),
    "l2": lambda found, given: (found - given).square().mean(dim=1),
    "ssim": _ssim_map,
    "msgms": _gradient_map,
}
