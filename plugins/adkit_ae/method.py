"""A convolutional autoencoder: four blocks halve the frame and double the channels, four mirror them."""

from itertools import pairwise

from torch import nn

from adkit.nn.training.reconstruction import Reconstruction, ReconstructionOptions


class Autoencoder(Reconstruction[ReconstructionOptions]):
    """The error of an autoencoder that was trained to repair normal images."""

    Options = ReconstructionOptions

    @classmethod
    def network(cls, options: ReconstructionOptions) -> nn.Module:
        """Build 256²×3 -> 16²×256 -> 256²×3 at width 32."""
        widths = [options.width * 2**block for block in range(4)]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise([3, *widths]):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        for wide, narrow in pairwise(widths[::-1]):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.ConvTranspose2d(widths[0], 3, 4, 2, 1))
