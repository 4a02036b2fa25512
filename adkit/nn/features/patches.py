"""Patch features: what a frozen network sees around each position of the image, and how far that is from a bank.

On the CPU all of it runs in onnxruntime, up to the distances in one graph, so that no second library's threads
compete for the cores; elsewhere it runs in torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adkit.errors import BackboneError
from adkit.nn.features.backbones import Backbone, weights_fingerprint
from adkit.nn.features.checkerboard import Grid, at_white_squares, filled, white_squares
from adkit.nn.features.neighbours import LEAST_DISTANCE, NearestNeighbour, append_distances
from adkit.nn.features.onnx_session import OnnxSession, exported_model, facts_of, output_shape, shared_session
from adkit.nn.options import EMBEDDED, FeatureOptions

FORMAT = 5  # goes up when the features change: networks exported by an older adkit are then exported anew

LEAST_MARGIN = 16
"""px, at least, that are mirrored around a frame before the network sees it; their positions are cut off afterwards.

Convolutions continue an image with zeros, which looks like nothing that was learned: without the margin, the border
of normal images has their highest distances, and sets the threshold.
"""


@dataclass
class PatchFeatures:
    """Features of all patches of a frame, on the grid of the first stride; raises BackboneError when first called.

    Coarser levels are enlarged bilinearly; then each position takes the mean over `neighbourhood`² positions. PatchCore
    (arXiv 2106.08265, section 3.1) averages each level on its own grid instead, which blurs the coarse level over an
    area four times as large; on one grid, all levels describe the same area.
    """

    backbone: str = EMBEDDED
    strides: tuple[int, ...] = (8, 16)
    weights: Path | None = None
    neighbourhood: int = 3
    device: str = "cpu"
    margin: bool = True  # whether frames are seen with a mirrored margin
    lengths: tuple[int, ...] = field(default=(), init=False)
    """How many of the D features come from each level; known after the first call."""

    def __post_init__(self) -> None:
        self._model, self._session, self._search = cache(self._exported), cache(shared_session), cache(_searching)

    @classmethod
    def from_options(
        cls, options: FeatureOptions, device: str, neighbourhood: int = 1, *, margin: bool = True
    ) -> "PatchFeatures":
        """Make those that the options of a method ask for."""
        return cls(options.backbone, options.levels, options.weights, neighbourhood, device, margin)

    def at(self, *strides: int) -> "PatchFeatures":
        """Return what sees frames as wholes: the same network's features at other strides, without a margin."""
        return replace(self, strides=strides, neighbourhood=1, margin=False)

    def __call__(self, frames: Tensor) -> Tensor:
        """Turn float32 (B, 3, H, W), RGB in 0..1 into float32 (B, h, w, D) on the features' device."""
        if (model := self._model(_size_of(frames))) is not None:
            return torch.cat([features for (features,) in self._session(model).each(frames)])
        with torch.inference_mode():
            features: Tensor = self._network(frames.to(self.device))
        return features.to(torch.float32)

    def looked_up(self, frames: Tensor, bank: NearestNeighbour) -> tuple[Tensor, Tensor]:
        """Turn float32 (B, 3, H, W) into every other patch (B, K, D), weighted, and distances (B, h, w) to the bank."""
        model = self._model(_size_of(frames))
        if model is None or bank.index is not None:
            features = self(frames)
            grid = (features.shape[1], features.shape[2])
            chosen = at_white_squares(features)
            found = bank.distances(chosen.flatten(0, 1)).reshape(len(frames), -1)
            return bank.weighted(chosen), filled(found.clamp_min(LEAST_DISTANCE), grid)
        session, grid = self._search(model)
        # Each frame by itself: the product of all patches with the bank then stays in the processor's caches.
        outputs = session.each(frames, columns=bank.columns, weights=bank.weights)
        distances, patches = zip(*outputs, strict=True)
        return torch.stack(patches), filled(torch.stack(distances).clamp_min(LEAST_DISTANCE), grid)

    def prepare(self, size: tuple[int, int]) -> None:
        """Make ready for frames of `size` = (height, width) px; the first time, it is exported."""
        self._model(size)

    def network(self, size: tuple[int, int]) -> nn.Module:
        """Return what turns frames (B, 3, *size) into features (B, h, w, D); raises BackboneError for another size."""
        self._network.require(size)
        return self._network

    def state(self) -> dict[str, Tensor]:
        """Return what a run keeps of the network: its weights' fingerprint, as `backbone_fingerprint`."""
        return {"backbone_fingerprint": torch.tensor(list(bytes.fromhex(self.fingerprint)), dtype=torch.uint8)}

    def check(self, state: Mapping[str, Tensor]) -> None:
        """Raise BackboneError when the weights are no longer those that `state` was made with."""
        expected = bytes(state["backbone_fingerprint"].tolist()).hex()
        if self.fingerprint != expected:
            raise BackboneError(
                f"the weights of {self.backbone} changed since fitting: found {self.fingerprint}, expected {expected}",
                hint="put the weights of that time back, or fit again",
            )

    @cached_property
    def fingerprint(self) -> str:
        """Return 16 hex digits that identify the network's weights."""
        return weights_fingerprint(self.backbone, self.weights)

    @cached_property
    def _network(self) -> "_FeatureNetwork":
        # Built only when needed: with a cached export, neither timm nor the weights are loaded at all.
        network = _FeatureNetwork(Backbone(self.backbone, self.strides, self.weights), self.neighbourhood, self.margin)
        self.lengths = network.backbone.channels
        return network.to(self.device).eval()

    def _exported(self, size: tuple[int, int]) -> bytes | None:
        """Return the network for frames of this size as an ONNX model; None where torch is to be used."""
        if self.device != "cpu":
            self.network(size)
            return None
        strides = "_".join(map(str, self.strides))
        edge = "" if self.margin else "-bare"
        libraries = f"torch{version('torch')}-timm{version('timm')}"
        key = f"{self.backbone}-{strides}-mean{self.neighbourhood}{edge}-{self.fingerprint}-{libraries}-{FORMAT}"
        model = exported_model(key, lambda: self.network(size), size, lambda: {"lengths": list(self.lengths)})
        if model is not None:
            self.lengths = tuple(facts_of(model)["lengths"])
        return model


def _searching(model: bytes) -> tuple[OnnxSession, Grid]:
    """Return a network that searches a bank too, and its grid."""
    _, height, width, _ = output_shape(model)
    return shared_session(append_distances(model, white_squares((height, width)))), (height, width)


def _size_of(frames: Tensor) -> tuple[int, int]:
    return int(frames.shape[-2]), int(frames.shape[-1])


class _FeatureNetwork(nn.Module):
    """The patch features of frames, each seen with a mirrored margin around it."""

    def __init__(self, backbone: Backbone, neighbourhood: int, margin: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.neighbourhood = neighbourhood
        finest, coarsest = backbone.strides[0], backbone.strides[-1]
        # In whole positions of every level, or the grids would no longer lie on each other.
        self.margin = coarsest * math.ceil(LEAST_MARGIN / coarsest) if margin and coarsest % finest == 0 else 0

    def require(self, size: tuple[int, int]) -> None:
        """Raise BackboneError unless it takes frames of `size`; one that takes this size only gets no margin."""
        if min(size) <= self.margin:
            self.margin = 0
        try:
            self.backbone.require((size[0] + 2 * self.margin, size[1] + 2 * self.margin))
        except BackboneError:
            self.backbone.require(size)
            self.margin = 0

    def forward(self, frames: Tensor) -> Tensor:
        if not self.margin:
            return patch_features(self.backbone(frames), self.neighbourhood)
        levels = self.backbone(F.pad(frames, [self.margin] * 4, mode="reflect"))
        cut = self.margin // self.backbone.strides[0]
        return patch_features(levels, self.neighbourhood)[:, cut:-cut, cut:-cut].contiguous()


def patch_features(levels: Sequence[Tensor], neighbourhood: int = 3) -> Tensor:
    """Turn (B, C_i, h_i, w_i) per level into (B, h, w, D), D = sum of C_i, on the first level's grid."""
    joined = torch.cat([levels[0], *(_enlarged(level, levels[0]) for level in levels[1:])], dim=1)
    if neighbourhood > 1:
        # Zeros outside the image do not count, or the border would look anomalous. As a convolution, a mean takes
        # a fifth of the time that onnxruntime's pooling does.
        # Ones that are computed, not stored: an exported network then holds nothing of its input's size.
        everywhere = joined[:, :1].clamp(1, 1)
        joined = _sums(joined, neighbourhood) / _sums(everywhere, neighbourhood)
    return joined.permute(0, 2, 3, 1).contiguous()


def _enlarged(level: Tensor, finest: Tensor) -> Tensor:
    (height, width), (rows, columns) = finest.shape[-2:], level.shape[-2:]
    factor = height // rows
    if (factor * rows, factor * columns) == (height, width):  # as a factor, which is the same for every input's size
        return F.interpolate(level, scale_factor=float(factor), mode="bilinear", align_corners=False)
    return F.interpolate(level, (height, width), mode="bilinear", align_corners=False)


def _sums(maps: Tensor, side: int) -> Tensor:
    channels = int(maps.shape[1])
    kernel = torch.ones(channels, 1, side, side, device=maps.device)
    return F.conv2d(maps, kernel, padding=side // 2, groups=channels)


def level_weights(variances: Tensor, lengths: Sequence[int]) -> Tensor:
    """Turn variances (D,) of features that come in levels of these lengths into (D,) weights that balance the levels.

    Each level is divided by the root of its total variance, so that none drowns the others in a distance.
    """
    weights = [
        torch.full((len(part),), float(part.sum().clamp_min(1e-12)) ** -0.5, device=variances.device)
        for part in torch.split(variances, list(lengths))
    ]
    return torch.cat(weights)
