"""Whether an image holds the right things: how much of it looks like each kind of patch.

A map asks of each place whether its like was ever seen. One part too few, one too many or one in another's stead may
look normal everywhere, in a tray or a bag where things lie any way. So the patches of normal images are sorted into
a few kinds, and an image is as odd as its shares of the kinds are far from the normal images' shares: histograms of
visual words (Csurka et al., ECCV workshop on statistical learning in computer vision, 2004), with soft assignment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from adkit.nn.spool import Rows, in_parts

KINDS = 32  # kinds of patches, at most one for sixteen of them
BEYOND = 2.0
"""So many spreads above what is usual a composition is worth what a map's usual score is: two judges must not raise
twice as many alarms on good parts."""
_PATCHES = 20_000  # enough to find the kinds
_AT_ONCE = 16_384  # patches whose shares are computed together
_ROUNDS = 20
_MATRICES = 256  # that are inverted together
_PREFIX = "composition_"


@dataclass(frozen=True)
class Composition:
    """The kinds of patches, what shares of them are normal, and how the distance from those becomes a score."""

    centres: Tensor  # (K, D)
    softness: Tensor  # (): the square of a distance at which a patch belongs to a kind e times less
    mean: Tensor  # (K,): the normal shares
    factor: Tensor  # (K, K): what turns differences from them into spreads
    scale: Tensor  # ()
    offset: Tensor  # ()

    @classmethod
    def learn(cls, patches: Rows, seed: int) -> tuple["Composition", Tensor]:
        """Learn from patches (N, n, D) of normal images; return also the distance (N,) of each from all the others."""
        import faiss  # which scoring need not wait for

        rng = np.random.default_rng(seed)
        flat = patches.flatten(0, 1)
        some = flat[torch.from_numpy(rng.permutation(len(flat))[:_PATCHES]).to(flat.device)].cpu()
        device = flat.device
        kinds = max(1, min(KINDS, len(some) // 16))
        settings = {"niter": _ROUNDS, "seed": seed, "init_method": faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS}
        limits = {"min_points_per_centroid": 1, "max_points_per_centroid": len(some)}  # none is left out, nor told
        found = faiss.Kmeans(some.shape[1], kinds, **settings, **limits)
        found.train(some.numpy())
        centres = torch.from_numpy(found.centroids).to(device)
        nearest = torch.cdist(some.to(device), centres).amin(dim=1).square().mean()
        unit, none = torch.ones((), device=device), torch.zeros((), device=device)
        softness = (nearest / 2).clamp_min(1e-12)
        begun, most = cls(centres, softness, none, none, unit, none), max(1, _AT_ONCE // patches.shape[1])
        shares = torch.cat([begun.shares(part) for part in in_parts(patches, most)])
        values = shares.to(torch.float64)
        mean, covariance = values.mean(dim=0), torch.cov(values.T).reshape(kinds, kinds)
        usual = cls(centres, softness, mean.to(shares.dtype), _factor(covariance), unit, none)
        left_out = [_left_out(part - mean, covariance, len(values)) for part in torch.split(values, _MATRICES)]
        return usual, torch.cat(left_out)

    def on_the_scale_of(self, scores: Tensor, left_out: Tensor) -> tuple["Composition", Tensor]:
        """Return it in the unit of other scores (N,) of the same images, and what the left-out distances become."""
        scale = scores.std() / left_out.std().clamp_min(1e-12)
        offset = scores.mean() - scale * left_out.mean() - BEYOND * scores.std()
        return replace(self, scale=scale, offset=offset), offset + scale * left_out

    def __call__(self, patches: Tensor) -> Tensor:
        """Turn the patches (B, n, D) of images into scores (B,)."""
        spreads: Tensor = ((self.shares(patches) - self.mean) @ self.factor).norm(dim=1)
        return self.offset + self.scale * spreads

    def shares(self, patches: Tensor) -> Tensor:
        """Turn (B, n, D) into (B, K): how much of each image belongs to each kind; a patch may belong to several."""
        lengths = self.centres.square().sum(dim=1)
        # A patch's own length says nothing of the kind: it is the same for all.
        squared = lengths - patches @ (2 * self.centres).T
        return torch.softmax(-squared / self.softness, dim=-1).mean(dim=1)

    def state(self) -> dict[str, Tensor]:
        """Give it as tensors for a run."""
        return {_PREFIX + one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], device: str) -> "Composition | None":
        """Return what `state` gave; None where there is none."""
        if _PREFIX + "centres" not in state:
            return None
        return cls(**{one.name: state[_PREFIX + one.name].to(device) for one in fields(cls)})


def _left_out(apart: Tensor, covariance: Tensor, count: int) -> Tensor:
    """Say how many spreads shares are from those of all others, by their differences (B, K) from the mean of all.

    Without one of `count`, the mean is `apart / (count - 1)` further away, and its part in the covariance is missing.
    """
    own = apart[:, :, None] * apart[:, None, :] * (count / (count - 1))
    factors = _factor(((count - 1) * covariance - own) / (count - 2))
    apart = (apart * (count / (count - 1))).to(factors.dtype)
    distances: Tensor = (apart[:, None] @ factors)[:, 0].norm(dim=1)
    return distances


def _factor(covariance: Tensor) -> Tensor:
    """Turn float64 (..., K, K) of shares into float32 that turns differences from their mean into spreads."""
    # Fewer images than kinds, and kinds that never vary, must not make a small difference endless.
    own = covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0)
    ridge = torch.diag_embed(0.3 * own + 0.1 * own.mean(dim=-1, keepdim=True) + 1e-12)
    factor: Tensor = torch.linalg.cholesky(torch.linalg.inv(covariance + ridge)).to(torch.float32)
    return factor
