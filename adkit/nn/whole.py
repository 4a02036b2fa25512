"""How odd an image is as a whole, beside how odd its places are.

A map's score hangs on its highest places, and some place of a few good images is always rare: they set the threshold.
What a network sees of the whole image, at half size and in a single vector, is a second witness: of what is really
anomalous it mostly says so too, of a rare place on a good image it does not. So an image's distance from the normal
images' vectors, beyond what is usual, is added to its map's score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from adkit.nn.normal_space import NormalSpace, left_out_scores

STRIDE = 32  # px: the level of the network that is looked at, where it has one; it sees the most context
WEIGHT = 0.5  # a spread of the distance counts as much as half a spread of the map's scores: places come first
LEAST_IMAGES = 20  # of fewer, what varies together cannot be told
_NEIGHBOURS = 3
_PARTS = 20
"""So many parts of the images are left out in turn: a space for each image would take most of a fit's time."""
_LEAST_SPREAD = 0.02  # of the usual distance: images that hardly differ must not make a small difference endless
_PREFIX = "whole_"


@dataclass(frozen=True)
class Whole:
    """The normal images' vectors, and how the distance from the nearest of them becomes what is added to a score."""

    space: NormalSpace
    numbers: Tensor  # (N,): which image each row of the space's bank is, as they were learned
    usual: Tensor  # ()
    unit: Tensor  # ()
    stride: Tensor  # (): px, of the level that the vectors were taken from

    @classmethod
    def learn(cls, vectors: Tensor, scores: Tensor, stride: int) -> tuple["Whole", Tensor]:
        """Learn from normal images' vectors (N, D) and maps' scores (N,); return also what each adds (N,), left out."""
        groups = [vectors.shape[1] // 2] * 2
        distances = left_out_scores(vectors, torch.arange(len(vectors)), groups, _NEIGHBOURS, _PARTS)
        usual = distances.mean()
        unit = WEIGHT * scores.std() / distances.std().clamp_min(float(_LEAST_SPREAD * usual) + 1e-12)
        learned = NormalSpace.learn(vectors, groups)
        # Written in half the bytes; what is used must be what is written.
        space = replace(learned, factor=_rounded(learned.factor), bank=_rounded(learned.bank))
        whole = cls(space, torch.arange(len(vectors)), usual, unit, torch.tensor(stride))
        return whole, whole._added(distances)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Turn the vectors (B, D) of images into what is added to their maps' scores (B,)."""
        return self._added(self.space.scores(vectors, _NEIGHBOURS))

    def updated(self, vectors: Tensor, first: int, removed: Sequence[int]) -> "Whole":
        """Return it with further normal images, numbered from `first`, and without those `removed`."""
        stays = ~torch.isin(self.numbers, torch.tensor(removed, dtype=torch.int64))
        bank = torch.cat([self.space.bank[stays], _rounded(self.space.points(vectors))])
        numbers = torch.cat([self.numbers[stays], torch.arange(first, first + len(vectors))])
        return replace(self, space=replace(self.space, bank=bank), numbers=numbers)

    def state(self) -> dict[str, Tensor]:
        """Give it as tensors for a run."""
        space = {"mean": self.space.mean, "factor": self.space.factor.float(), "bank": self.space.bank.float()}
        own = {"numbers": self.numbers, "usual": self.usual, "unit": self.unit, "stride": self.stride}
        return {_PREFIX + name: tensor for name, tensor in {**space, **own}.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Whole | None":
        """Return what `state` gave; None where there is none."""
        own = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
        if not own:
            return None
        space = NormalSpace(own.pop("mean"), own.pop("factor").double(), own.pop("bank").double())
        return cls(space, **own)

    def _added(self, distances: Tensor) -> Tensor:
        return self.unit * (distances - self.usual).clamp_min(0)


def _rounded(values: Tensor) -> Tensor:
    return values.float().double()
