"""Networks that rebuild each frame from what they remember, by the LSTM of Shi et al. (2015, arXiv 1506.04214)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CellMemory = tuple[Tensor, Tensor]  # what a layer remembers: its output and its cell, float32 (B, hidden, h, w) both
Memory = tuple[CellMemory, ...]  # what the layers remember, the first first


class ConvLstm(nn.Module):
    """One layer: at each position it remembers, and sees what its neighbours remember."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.given = nn.Conv2d(channels, 4 * hidden, 3, padding=1)
        self.past = nn.Conv2d(hidden, 4 * hidden, 3, padding=1, bias=False)
        with torch.no_grad():
            assert self.given.bias is not None
            self.given.bias[hidden : 2 * hidden] = 1  # or it would begin by forgetting (Gers et al., 2000)

    def forward(self, frames: Tensor, memory: CellMemory | None) -> tuple[Tensor, CellMemory]:
        """Turn (B, T, channels, h, w) and what was before into (B, T, hidden, h, w) and what is remembered then."""
        count, length = frames.shape[:2]
        # What each frame brings does not depend on the past: one convolution for all is faster than one for each.
        gates: Tensor = self.given(frames.flatten(0, 1))
        gates = gates.reshape(count, length, *gates.shape[1:])
        if memory is None:
            nothing = gates.new_zeros((count, self.hidden, *gates.shape[-2:]), dtype=torch.float32)
            memory = (nothing, nothing)
        output, cell = memory
        outputs = []
        for number in range(length):
            kept = gates[:, number] + self.past(output)
            enter, keep, tell, news = kept.float().chunk(4, dim=1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(news)
            output = torch.sigmoid(tell) * torch.tanh(cell)
            outputs.append(output)
        return torch.stack(outputs, dim=1), (output, cell)


class RecurrentNetwork(nn.Module):
    """Encodes each frame, remembers, and decodes what it remembers after each frame."""

    rebuilt_channels: int | None = None  # so many of the first channels are rebuilt; None: all

    def __init__(self, encode: nn.Module, decode: nn.Module, code: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.encode = encode
        self.layers = nn.ModuleList(ConvLstm(hidden if number else code, hidden) for number in range(layers))
        self.decode = decode

    def forward(self, frames: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """Turn (B, T, C, h, w) and what was before into (B, T, C, h, w), float32, and what is remembered then."""
        count, length = frames.shape[:2]
        seen: Tensor = self.encode(frames.flatten(0, 1))
        seen = seen.reshape(count, length, *seen.shape[1:])
        after = []
        for number, layer in enumerate(self.layers):
            seen, remembered = layer(seen, memory[number] if memory else None)
            after.append(remembered)
        told: Tensor = self.decode(seen.flatten(0, 1))
        return told.float().reshape(frames.shape), tuple(after)


class FeatureNetwork(RecurrentNetwork):
    """For features along their main directions: the first are rebuilt; for the others it gives zero, their mean."""

    def __init__(self, rebuilt_channels: int, code: int, hidden: int, layers: int) -> None:
        encode, decode = nn.Conv2d(rebuilt_channels, code, 1), nn.Conv2d(hidden, rebuilt_channels, 1)
        super().__init__(encode, decode, code, hidden, layers)
        self.rebuilt_channels = rebuilt_channels

    def forward(self, frames: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """Turn (B, T, D, h, w) and what was before into the same rebuilt, and what is remembered then."""
        told, memory = super().forward(frames[:, :, : self.rebuilt_channels], memory)
        others = frames.shape[2] - told.shape[2]
        return F.pad(told, (0, 0, 0, 0, 0, others)), memory


class PixelNetwork(RecurrentNetwork):
    """For images in 0..1: it sees and rebuilds how they differ from the scene that a fixed camera always shows.

    Without that it would spend most of its training on the background, and its border: convolutions continue an
    image with zeros, which here means that there is nothing but background. Four blocks halve images of `size` =
    (height, width) px, four mirror them, and between is memory.
    """

    background: Tensor
    spread: Tensor

    def __init__(self, size: tuple[int, int], width: int, code: int, hidden: int, layers: int) -> None:
        widths = [3, width, 2 * width, 4 * width, code]
        down: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            down += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        up: list[nn.Module] = []
        for wide, narrow in pairwise([hidden, *widths[-2:0:-1]]):
            up += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.LeakyReLU(0.2)]
        up.append(nn.ConvTranspose2d(width, 3, 4, 2, 1))
        super().__init__(nn.Sequential(*down), nn.Sequential(*up), code, hidden, layers)
        self.to(memory_format=torch.channels_last)
        self.register_buffer("background", torch.zeros(3, *size))
        self.register_buffer("spread", torch.ones(()))

    def learn_background(self, frames: Tensor) -> None:
        """Learn from frames (N, 3, H, W) in 0..1: their mean, and the spread of what differs from it."""
        self.background = frames.mean(dim=0)
        self.spread = (frames - self.background).square().mean().sqrt().clamp_min(1e-3)

    def forward(self, frames: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """Turn (B, T, 3, H, W), RGB in 0..1, and what was before into the same rebuilt, and what is remembered then."""
        told, memory = super().forward((frames - self.background) / self.spread, memory)
        return told * self.spread + self.background, memory
