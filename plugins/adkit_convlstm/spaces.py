"""What of a frame is rebuilt and compared: the features of a frozen network, or the pixels."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from adkit import OptionError
from adkit.nn.features.patches import PatchFeatures
from adkit.nn.training.frame_store import as_bytes

LEARNED_FROM = 200_000  # patches, at most, that say what the main directions of the features are
FLOOR = 0.1  # of the directions' mean squared error: added to each one's own, so that none counts without bound
_AT_ONCE = 256  # frames
_LARGEST = 6e4  # of half precision, nearly


class PixelSpace:
    """Turns frames into what is rebuilt, and what was not rebuilt into a map: pixels, of which nothing is learned."""

    stride = 1.0  # px of the frame per position of the map

    def look(self, frames: Tensor) -> Tensor:
        """Turn float32 (B, 3, H, W), RGB in 0..1, into what is kept before anything is learned, on the CPU: bytes."""
        return as_bytes(frames)

    def learn(self, kept: Tensor, training: Tensor, seed: int) -> Tensor:
        """Return all that was kept (N, ...) as `see` gives it, in the same memory; learn from the rows `training`."""
        return kept

    def seen(self, looked_at: Tensor) -> Tensor:
        """Turn frames (B, 3, H, W), or features of them (B, h, w, D), into (B, C, h, w), as it is rebuilt."""
        return looked_at

    def see(self, frames: Tensor) -> Tensor:
        """Turn float32 (B, 3, H, W), RGB in 0..1 into (B, C, h, w), as it is rebuilt and compared."""
        return self.seen(frames)

    def learn_spread(self, residuals: Iterable[Tensor]) -> None:
        """Learn from what was not rebuilt of held-out normal frames, (B, C, h, w) each."""
        return

    def maps(self, residual: Tensor) -> Tensor:
        """Turn what was not rebuilt (B, C, h, w) into (B, h, w), how anomalous each position is: its squared error."""
        return residual.square().mean(dim=1)

    def state(self) -> dict[str, Tensor]:
        """Return what was learned."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        return


class FeatureSpace(PixelSpace):
    """A frozen network's features along their main directions, in half precision; zero is their mean.

    The first of them, so many as the network rebuilds, are each divided by their spread (whitened). The others vary
    least while all is normal, and so tell best what looks like nothing normal (SubspaceAD, CVPR 2026); no network is
    needed to say that they stay at their mean. They are divided by the spread that they have in common.
    The map is the root of the mean squared error, each direction's in what is usual for it.
    """

    def __init__(self, features: PatchFeatures, rebuilt_directions: int) -> None:
        self._features = features
        self.stride = float(features.strides[0])
        self._rebuilt = rebuilt_directions
        self._mean = torch.zeros(1)  # (D,)
        self._projection = torch.zeros(1, 1)  # (D, D)
        self._spread = torch.ones(1)  # (D,), of the error in held-out frames

    def look(self, frames: Tensor) -> Tensor:
        """Return all features, (B, D, h, w) in half precision."""
        return self._features(frames).permute(0, 3, 1, 2).to("cpu", torch.float16)

    def learn(self, kept: Tensor, training: Tensor, seed: int) -> Tensor:
        """Learn the directions, and turn what was kept into them; raises OptionError for more than there are."""
        if self._rebuilt > kept.shape[1]:
            told = f"directions={self._rebuilt}, but the features have only {kept.shape[1]} channels"
            raise OptionError(told, hint=f"at most --set directions={kept.shape[1]}, or more levels")
        generator = torch.Generator().manual_seed(seed)
        positions = kept.shape[2] * kept.shape[3]
        rows = training[torch.randperm(len(training), generator=generator)[: max(1, LEARNED_FROM // positions)]]
        patches = kept[rows].permute(0, 2, 3, 1).flatten(0, 2).to(torch.float64)
        mean = patches.mean(dim=0)
        spectrum, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        variances, directions = spectrum.flip(0), directions.flip(1)
        variances[self._rebuilt :] = variances[self._rebuilt :].mean()
        # Where all frames are alike, there is no spread to divide by.
        floor = (1e-6 * spectrum.max()).clamp_min(1e-12)
        self._mean = mean.float()
        self._projection = (directions / variances.clamp_min(floor).sqrt()).float()
        self._spread = torch.ones(self._projection.shape[1])
        for part in torch.split(kept, _AT_ONCE):
            # In place: clips take much memory. Held-out frames may lie where half precision ends.
            part.copy_(self._projected(part.float()).clamp(-_LARGEST, _LARGEST))
        return kept

    def seen(self, looked_at: Tensor) -> Tensor:
        """Return (B, D, h, w)."""
        return self._projected(looked_at.permute(0, 3, 1, 2))

    def see(self, frames: Tensor) -> Tensor:
        """Return (B, D, h, w)."""
        return self.seen(self._features(frames))

    def learn_spread(self, residuals: Iterable[Tensor]) -> None:
        """Say how far each direction usually is off."""
        squares = torch.cat([residual.square().mean(dim=(2, 3)).cpu() for residual in residuals]).mean(dim=0)
        self._spread = (squares + FLOOR * squares.mean()).clamp_min(1e-12).sqrt()

    def maps(self, residual: Tensor) -> Tensor:
        """Return the root mean squared error of all directions, in their spreads."""
        return (residual / self._spread.to(residual.device)[:, None, None]).square().mean(dim=1).sqrt()

    def state(self) -> dict[str, Tensor]:
        """Return the directions, and the spread of the error along each."""
        return {"features_mean": self._mean, "features_projection": self._projection, "error_spread": self._spread}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self._mean, self._projection = state["features_mean"], state["features_projection"]
        self._spread = state["error_spread"]

    def _projected(self, features: Tensor) -> Tensor:
        """Turn features as they are into those along the directions, (B, D, h, w) both."""
        mean, projection = self._mean.to(features.device), self._projection.to(features.device)
        centred = features - mean[:, None, None]
        return torch.einsum("bdhw,dc->bchw", centred, projection)
