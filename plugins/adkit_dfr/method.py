"""DFR (Yang, Shi and Qi, 2020, arXiv 2012.07122) on a small frozen backbone.

A frozen network describes every patch at several levels; an autoencoder of 1×1 convolutions learns to reconstruct
these features of normal images through a narrow code. Where this differs from the paper: the levels are weighted
to the same variance; the error is measured in units of what is usual for each feature in held-out normal images;
where position matters, the maps are normalised per position.
"""

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from adkit import Batch, Batches, Prediction, Progress
from adkit.nn.corruption import corrupt
from adkit.nn.features.patches import PatchFeatures, level_weights
from adkit.nn.methods import FrameGraph
from adkit.nn.options import BatchSize, Epochs, Neighbourhood, PatchLimit, PatchMapOptions, Patience, TrainedMapOptions
from adkit.nn.samples import gather
from adkit.nn.training.loop import Objective, TrainingRows
from adkit.nn.training.trained_method import TrainedMethod, seeded

LEAST_CODE = 2


class DfrOptions(PatchMapOptions, TrainedMapOptions):
    """Options of `dfr`."""

    neighbourhood: Neighbourhood = 1
    explained: float = Field(
        default=0.97, gt=0, lt=1, description="the code has as many numbers as principal components explain this share"
    )
    code: int = Field(default=0, ge=0, le=4096, description="length of the code; 0: as long as `explained` asks for")
    patch_limit: PatchLimit = Field(
        default=1_000_000,
        description="learns from at most this many patches, the same number of each image: bounds most of the memory",
    )
    epochs: Epochs = 40
    batch_size: BatchSize = Field(default=2, description="images per step; lower it when memory runs out")
    patience: Patience = 8


class FeatureAutoencoder(Objective):
    """Reconstructs feature vectors: (..., D) -> (..., D) through a code. A 1×1 convolution is a layer on each patch."""

    mean: Tensor
    weights: Tensor
    spread: Tensor

    def __init__(self, length: int, code: int) -> None:
        super().__init__()
        self.code = code
        middle, narrow = max(code, (length + 2 * code) // 2), 2 * code
        self.encode = nn.Sequential(
            nn.Linear(length, middle), nn.ReLU(), nn.Linear(middle, narrow), nn.ReLU(), nn.Linear(narrow, code)
        )
        self.decode = nn.Sequential(
            nn.Linear(code, narrow), nn.ReLU(), nn.Linear(narrow, middle), nn.ReLU(), nn.Linear(middle, length)
        )
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("weights", torch.ones(length))
        self.register_buffer("spread", torch.ones(length))  # of each feature's error in held-out normal images

    def residual(self, features: Tensor) -> Tensor:
        """Turn (..., D) features into (..., D) how far their reconstruction is off, in weighted features."""
        given = (features - self.mean) * self.weights
        return self.decode(self.encode(given)).float() - given  # type: ignore[no-any-return]

    def errors(self, features: Tensor) -> Tensor:
        """Turn (..., D) features into (...) root of the mean squared error, in spreads."""
        return (self.residual(features) / self.spread).square().mean(dim=-1).sqrt()

    def forward(self, batch: Tensor, draw: int) -> Tensor:
        """Turn (B, N, D) features of N patches each into (B,) mean squared errors."""
        return self.residual(batch).square().mean(dim=(1, 2))

    def scores(self, batch: Tensor) -> Tensor:
        """Return the mean of each image's highest 1 % of errors."""
        errors = self.errors(batch)
        return errors.topk(max(1, errors.shape[1] // 100), dim=1).values.mean(dim=1)


class DeepFeatureReconstruction(TrainedMethod[DfrOptions]):
    """The error of an autoencoder that reconstructs the features of normal patches."""

    Options = DfrOptions
    steps = (("features", 1), ("held out", 0.3), ("training", 12))

    _features: PatchFeatures
    _objective: FeatureAutoencoder

    def __init__(self, options: DfrOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._features = PatchFeatures.from_options(options, device, options.neighbourhood)

    def learn(self, batches: Batches, progress: Progress) -> None:
        """Train on a part of the images; the others tell when to stop, how far errors go, and what position does."""
        features, clips = self._collect(batches, progress)
        training, held_out = self.split(clips)
        features = features[training]
        self._objective = self._made(features)
        self._facts |= {"features": features.shape[2], "code": self._objective.code}
        whole, corrupted = self._held_out(batches, held_out, progress)
        self.train(TrainingRows(features, whole.flatten(1, 2), corrupted.flatten(1, 2)), progress)
        with torch.inference_mode():
            residual = self._objective.cpu().residual(whole)
            self._objective.spread = residual.flatten(0, 2).square().mean(dim=0).sqrt().clamp_min(1e-6)
        self.decide(self._maps(whole), clips[held_out])

    def predict(self, batch: Batch) -> Prediction:
        """Return maps on the first level's grid."""
        return Prediction(maps=self.normalised(self._maps(self._features(batch.frames[:, -1]))))

    def graph(self) -> nn.Module:
        """Return `predict` as a module."""
        network = self._features.network(self.frame_size)

        def of_frames(frames: Tensor) -> Tensor:
            return self.normalised(self.smoothed(self._objective.errors(network(frames)), self.options.levels[0]))

        return FrameGraph(of_frames, network, self._objective.eval())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        self._objective = FeatureAutoencoder(len(state["mean"]), len(state["decode.0.weight"][0]))
        super().restore(state)

    @torch.inference_mode()
    def _maps(self, features: Tensor) -> Tensor:
        """Turn (B, h, w, D) on the features' device into (B, h, w), smoothed, on the CPU."""
        autoencoder = self._objective.to(features.device).eval()
        maps = torch.cat([autoencoder.errors(part) for part in torch.split(features, 1)])
        return self.smoothed(maps, self.options.levels[0])

    def _collect(self, batches: Batches, progress: Progress) -> tuple[Tensor, Tensor]:
        """Return (n, N, D) features of all images, a random part of each where there are too many; clips (n,)."""
        generator = torch.Generator().manual_seed(self.seed)
        quota = max(1, self.options.patch_limit // len(batches))

        def some(frames: Tensor) -> Tensor:
            each = self._features(frames).flatten(1, 2).cpu()
            return torch.stack([one[torch.randperm(len(one), generator=generator)[:quota]] for one in each])

        parts = ((batch.clips, some(batch.frames[:, -1])) for batch in batches)
        return gather(parts, len(batches), progress, "features", Tensor.new_empty)

    def _held_out(self, batches: Batches, rows: Tensor, progress: Progress) -> tuple[Tensor, Tensor]:
        """Return (n, h, w, D) features of those images as they are, and spoilt; on the CPU."""
        wanted = set(rows.tolist())
        rng = np.random.default_rng(self.seed)
        whole, corrupted = [], []
        frames = (frame for batch in batches for frame in torch.split(batch.frames[:, -1], 1))
        with progress.task("held out", len(wanted)) as advance:
            for row, frame in enumerate(frames):
                if row in wanted:
                    whole.append(self._features(frame).cpu())
                    corrupted.append(self._features(corrupt(frame, ("stain", "paste"), rng, clean_share=0)).cpu())
                    advance(1)
        return torch.cat(whole), torch.cat(corrupted)

    def _made(self, features: Tensor) -> FeatureAutoencoder:
        """Return an untrained autoencoder for features (n, N, D), which sets scaling and code."""
        patches = features.flatten(0, 1)
        weights = level_weights(patches.var(dim=0, correction=0), self._features.lengths) * patches.shape[1] ** 0.5
        code = self.options.code or _components(patches, weights, self.options.explained)
        with seeded(self.seed):
            made = FeatureAutoencoder(patches.shape[1], code)
        made.mean, made.weights = patches.mean(dim=0), weights
        return made


def _components(patches: Tensor, weights: Tensor, explained: float) -> int:
    """Say how many principal components of the weighted patches (N, D) explain that share of their variance."""
    weighted = patches * weights
    spectrum = torch.linalg.eigvalsh(weighted.T.cov()).flip(0).clamp_min(0)
    shares = spectrum.cumsum(0) / spectrum.sum().clamp_min(1e-12)
    return max(LEAST_CODE, min(int((shares < explained).sum()) + 1, len(spectrum)))
