"""DFR (Yang, Shi and Qi, 2020, arXiv 2012.07122) on a small frozen backbone.

A frozen network describes every patch at several levels; an autoencoder of 1×1 convolutions learns to reconstruct
these features of normal pictures through a narrow code. Where this differs from the paper: the levels are weighted
to the same variance; the error is measured in units of what is usual for each feature in held-out normal pictures;
where position matters, the maps are normalised per position.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from adkit import Batch, Batches, FitReport, Method, Prediction, Progress, Workspace
from adkit.nn.features.patches import PatchFeatures, level_weights_of
from adkit.nn.normalisation import PositionNormalisation, decide, require_maps, smooth
from adkit.nn.options import BatchSize, Epochs, Neighbourhood, PatchLimit, PatchMapOptions, Patience, TrainingOptions
from adkit.nn.training.corruption import corrupt
from adkit.nn.training.frame_store import STOPPING_SHARE, hold_out
from adkit.nn.training.loop import Objective, TrainingRows, train

LEAST_CODE = 2


class DfrOptions(PatchMapOptions, TrainingOptions):
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
        self.register_buffer("spread", torch.ones(length))  # of each feature's error in held-out normal pictures

    def residual(self, features: Tensor) -> Tensor:
        """(..., D) features -> (..., D) how far their reconstruction is off, in weighted features."""
        given = (features - self.mean) * self.weights
        return self.decode(self.encode(given)).float() - given  # type: ignore[no-any-return]

    def errors(self, features: Tensor) -> Tensor:
        """(..., D) features -> (...) root of the mean squared error, in spreads."""
        return (self.residual(features) / self.spread).square().mean(dim=-1).sqrt()

    def forward(self, batch: Tensor, draw: int) -> Tensor:
        """(B, N, D) features of N patches each -> (B,) mean squared errors."""
        return self.residual(batch).square().mean(dim=(1, 2))

    def scores(self, batch: Tensor) -> Tensor:
        """The mean of each picture's highest 1 % of errors."""
        errors = self.errors(batch)
        return errors.topk(max(1, errors.shape[1] // 100), dim=1).values.mean(dim=1)


class DeepFeatureReconstruction(Method[DfrOptions]):
    """The error of an autoencoder that reconstructs the features of normal patches."""

    Options = DfrOptions
    default_scorer = "top1"

    def __init__(self, options: DfrOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._features = PatchFeatures.from_options(options, device)
        self._autoencoder = FeatureAutoencoder(1, 1)
        self._normalisation: PositionNormalisation | None = None
        self._facts: dict[str, str | int | float | bool] = {}

    @property
    def frame_size(self) -> tuple[int, int]:
        """As the options say."""
        return self.options.size

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> FitReport:
        """Trains on a part of the images; the others tell when to stop, how far errors go, and what position does."""
        with progress.task("network", 1) as advance:
            self._features.prepare(self.frame_size)
            advance(1)
        features, clips = self._collect(batches, progress)
        training, held_out = hold_out(clips, STOPPING_SHARE, self.seed)
        require_maps(len(held_out), self.options.position_normalisation)
        features = features[training]
        self._autoencoder = self._made(features)
        whole, corrupted = self._held_out(batches, held_out, progress)
        trained = train(
            self._autoencoder,
            TrainingRows(features, whole.flatten(1, 2), corrupted.flatten(1, 2)),
            self.options,
            seed=self.seed,
            device=self.device,
            progress=progress,
            folder=workspace() if workspace else None,
        )
        with torch.inference_mode():
            residual = self._autoencoder.cpu().residual(whole)
            self._autoencoder.spread = residual.flatten(0, 2).square().mean(dim=0).sqrt().clamp_min(1e-6)
        self._facts = {
            "features": features.shape[2],
            "code": self._autoencoder.code,
            **trained.facts(),
        }
        self._normalisation, found = decide(self._maps(whole), clips[held_out], self.options.position_normalisation)
        self._facts |= found
        return FitReport(self._facts, trained.curves)

    def predict(self, batch: Batch) -> Prediction:
        """Maps on the first level's grid."""
        maps = self._maps(self._features(batch.frames[:, -1]))
        return Prediction(maps=self._normalisation(maps) if self._normalisation else maps)

    def state(self) -> dict[str, Tensor]:
        """The autoencoder with its scaling, and the normalisation where there is one."""
        learned = {f"autoencoder.{name}": value for name, value in self._autoencoder.state_dict().items()}
        return {**learned, **self._features.state(), **(self._normalisation.state() if self._normalisation else {})}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `state` gave; raises BackboneError when the backbone's weights are others by now."""
        self._features.check(state)
        learned = {name.partition(".")[2]: value for name, value in state.items() if name.startswith("autoencoder.")}
        self._autoencoder = FeatureAutoencoder(len(learned["mean"]), len(learned["decode.0.weight"][0]))
        self._autoencoder.load_state_dict(learned)
        self._normalisation = PositionNormalisation.from_state(state)

    @torch.inference_mode()
    def _maps(self, features: Tensor) -> Tensor:
        """(B, h, w, D) on the features' device -> (B, h, w), smoothed, on the CPU."""
        autoencoder = self._autoencoder.to(features.device).eval()
        maps = torch.cat([autoencoder.errors(part) for part in torch.split(features, 1)]).cpu()
        return smooth(maps, self.options.smoothing / self.options.levels[0])

    def _collect(self, batches: Batches, progress: Progress) -> tuple[Tensor, Tensor]:
        """(n, N, D) features of all images, on the CPU, a random part of each where there are too many; clips (n,)."""
        generator = torch.Generator().manual_seed(self.seed)
        quota = max(1, self.options.patch_limit // len(batches))
        clips: dict[str, int] = {}
        numbers: list[int] = []
        parts = []
        with progress.task("features", len(batches)) as advance:
            for batch in batches:
                for patches in self._features(batch.frames[:, -1]).flatten(1, 2).cpu():
                    parts.append(patches[torch.randperm(len(patches), generator=generator)[:quota]])
                numbers += [clips.setdefault(clip, len(clips)) for clip in batch.clips]
                advance(len(batch))
        return torch.stack(parts), torch.tensor(numbers)

    def _held_out(self, batches: Batches, rows: Tensor, progress: Progress) -> tuple[Tensor, Tensor]:
        """(n, h, w, D) features of those images as they are, and spoilt; on the CPU."""
        wanted = set(rows.tolist())
        rng = np.random.default_rng(self.seed)
        whole, corrupted = [], []
        row = 0
        with progress.task("held out", len(wanted)) as advance:
            for batch in batches:
                for frame in torch.split(batch.frames[:, -1], 1):
                    if row in wanted:
                        whole.append(self._features(frame).cpu())
                        corrupted.append(self._features(corrupt(frame, ("stain", "paste"), rng, clean_share=0)).cpu())
                        advance(1)
                    row += 1
        return torch.cat(whole), torch.cat(corrupted)

    def _made(self, features: Tensor) -> FeatureAutoencoder:
        """An untrained autoencoder for features (n, N, D), which sets scaling and code."""
        patches = features.flatten(0, 1)
        weights = level_weights_of(patches.var(dim=0, correction=0), self._features.lengths) * patches.shape[1] ** 0.5
        code = self.options.code or _components(patches, weights, self.options.explained)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)  # layers draw their first weights from the global generator
            made = FeatureAutoencoder(patches.shape[1], code)
        made.mean, made.weights = patches.mean(dim=0), weights
        return made


def _components(patches: Tensor, weights: Tensor, explained: float) -> int:
    """How many principal components of the weighted patches (N, D) explain that share of their variance."""
    weighted = patches * weights
    spectrum = torch.linalg.eigvalsh(weighted.T.cov()).flip(0).clamp_min(0)
    shares = spectrum.cumsum(0) / spectrum.sum().clamp_min(1e-12)
    return max(LEAST_CODE, min(int((shares < explained).sum()) + 1, len(spectrum)))
