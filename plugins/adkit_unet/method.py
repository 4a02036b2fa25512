"""A U-Net that repairs, or without its skip connections, past which defects go, a deep autoencoder."""

from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn

from adkit.nn.options import Epochs
from adkit.nn.training.reconstruction import Reconstruction, ReconstructionOptions
from adkit.nn.training.reconstruction_error import ErrorMap

LEVELS = 4


class UNetOptions(ReconstructionOptions):
    """Options of `unet`."""

    epochs: Epochs = 20
    error: ErrorMap = Field(default="ssim", description="what the map shows of the difference to the input")
    # With the skips small defects pass, as the synthetic bolt shows.
    skips: bool = Field(
        default=False, description="whether finer levels are passed on beside the bottleneck: sharp, but defects pass"
    )


class UNet(Reconstruction[UNetOptions]):
    """The error of a U-Net that was trained to repair normal images."""

    Options = UNetOptions

    @classmethod
    def network(cls, options: UNetOptions) -> nn.Module:
        """Build channels 32-64-128-256 at width 32, and back."""
        return UNetNetwork([options.width * 2**level for level in range(LEVELS)], skips=options.skips)


class UNetNetwork(nn.Module):
    """(B, 3, H, W) -> (B, 3, H, W); H and W are multiples of 8."""

    def __init__(self, widths: list[int], *, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.down = nn.ModuleList(_block(narrow, wide) for narrow, wide in pairwise([3, *widths]))
        self.shrink = nn.MaxPool2d(2)
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(wide, narrow, 2, 2) for wide, narrow in pairwise(widths[::-1]))
        self.up = nn.ModuleList(_block(narrow * (2 if skips else 1), narrow) for narrow in widths[-2::-1])
        self.out = nn.Conv2d(widths[0], 3, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Return what the class says."""
        levels: list[Tensor] = []
        found = frames
        for depth, block in enumerate(self.down):
            found = block(found if depth == 0 else self.shrink(found))
            levels.append(found)
        for enlarge, block, level in zip(self.enlarge, self.up, levels[-2::-1], strict=True):
            found = enlarge(found)
            found = block(torch.cat([found, level], dim=1) if self.skips else found)
        return self.out(found)  # type: ignore[no-any-return]


def _block(narrow: int, wide: int) -> nn.Sequential:
    """Make two convolutions that keep the frame's size."""
    layers: list[nn.Module] = []
    for first, second in ((narrow, wide), (wide, wide)):
        layers += [nn.Conv2d(first, second, 3, 1, 1, bias=False), nn.BatchNorm2d(second), nn.ReLU()]
    return nn.Sequential(*layers)
