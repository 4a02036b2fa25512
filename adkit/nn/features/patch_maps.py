"""What all methods share that give maps from the patch features of a frozen network.

A method says how far a patch is from normal, and how far each training frame's patches are when its clip is left out.
The rest is done here. A frame is looked at twice, as it is and at half its size: fine detail shows in the one, and what
lies in the wrong place or is missing in the other, where a patch sees twice as much around it.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adkit.errors import BackboneError
from adkit.interfaces import Batches, Progress
from adkit.nn.blend import Blend, choose_blend, is_open, top_scores
from adkit.nn.composition import Composition
from adkit.nn.corruption import SPOILT, spoilt
from adkit.nn.features.patches import PatchFeatures
from adkit.nn.methods import FrameGraph, MapMethod
from adkit.nn.normal_space import pooled
from adkit.nn.normalisation import require_maps
from adkit.nn.options import LEAST_PX, ScaledMapOptions
from adkit.nn.samples import Changed, gather
from adkit.nn.whole import LEAST_IMAGES, STRIDE, Whole
from adkit.types import Batch, Prediction

ScaledMapOptionsType = TypeVar("ScaledMapOptionsType", bound=ScaledMapOptions)

LeftOutDistances = Iterator[tuple[str, Tensor]]
"""For some training frames at a time, in training order: their clip, and their distances (k, h, w) without it."""

SOURCES = 16
"""So many training frames, spread over all, are spoilt to see whether telling positions apart finds more of it."""
SOURCE_BYTES = 200_000_000  # fewer where they are larger than this together
_CONTEXT = "context."  # before the names of what is known at half size


class PatchMapMethod(MapMethod[ScaledMapOptionsType]):
    """A method whose maps are distances of patches from what is normal, on the grid of the first level.

    A subclass writes `learn_patches`, `judged`, `learned` and `restore`; another instance of it sees the half size.
    """

    apart: ClassVar[bool] = False
    """Positions are told apart unless spoilt images speak against it; False: only where they speak for it."""

    _features: PatchFeatures
    _composition: Composition | None = None
    """Of the patches at this scale, where `learn_patches` of still images learns one; the coarsest scale's counts."""
    _composed: Tensor | None = None  # what it says (N,) of each training frame left out
    _overview: PatchFeatures | None = None  # what sees an image as a whole, without a margin
    _whole: Whole | None = None  # how odd an image is as a whole, where stills were learned
    _scored: Tensor | None = None  # scores (N,) of the training frames left out, where what is odd as a whole counts

    def __init__(self, options: ScaledMapOptionsType, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._features = PatchFeatures.from_options(options, device, options.neighbourhood)
        self._blend = Blend()
        self._all_scales = [self]
        height, width = options.frame
        if options.context and min(height, width) >= 2 * LEAST_PX:
            half = options.model_copy(update={"context": False, "size": (height // 2, width // 2)})
            self._all_scales.append(type(self)(half, seed=seed, device=device))
            self._all_scales[1]._features = self._features
        self._scales = self._all_scales  # the first alone where there are no out-of-sample maps to blend by

    def planned(self) -> Sequence[tuple[str, float]]:
        """Return the steps at each scale, a quarter of the patches at each coarser one; then what is spoilt."""
        scales = range(len(self._all_scales))
        steps = [(label, weight / 8**scale) for scale in scales for label, weight in self.steps]
        return [*steps, ("spoilt images", 0.1 * sum(weight for _, weight in self.steps))]

    @abstractmethod
    def learn_patches(self, batches: Batches, progress: Progress) -> LeftOutDistances | None:
        """Learn, note the sizes in `self._facts`, and give every frame's left-out distances; None of one clip only."""

    @abstractmethod
    def judged(self, features: Tensor) -> Tensor:
        """Say how far each patch is from normal: features (B, h, w, D) to (B, h, w), in torch, on their device."""

    def patches(self, features: Tensor) -> Tensor:
        """Turn features (B, h, w, D) into the patches (B, n, D) that a composition is made of."""
        return features.flatten(1, 2)

    def seen(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Turn float32 (B, T, 3, H, W) into what `patches` and `judged` say of the last frame, on any device."""
        features = self._features(frames[:, -1])
        return self.patches(features), self.judged(features)

    def learn(self, batches: Batches, progress: Progress) -> None:
        """Learn, then judge training and spoilt frames as new: these say whether position matters, and calibrate."""
        self._scales, self._blend, self._whole, self._scored = self._all_scales, Blend(), None, None
        enough = len(batches) >= LEAST_IMAGES
        self._overview = self._overview_at(STRIDE, self.options.levels[-1]) if enough else None
        kept = KeepingSome(batches, self._vectors if self._overview else None)
        for method in self._scales:
            method._composition, method._composed, method._workspace = None, None, self._workspace
            method._notes = []
        normal: list[Tensor] = []
        clips = torch.empty(0)
        for method, seen in self._each_scale(kept):
            left_out = method.learn_patches(seen, progress)
            if left_out is None:
                require_maps(1, self.options.position_normalisation)
                self._scales = [self]
                return
            maps, clips = method._left_out_maps(left_out, len(batches), progress)
            normal.append(maps)
        spoilt_maps = self._spoilt(kept, progress) if is_open(clips, self.options) else []
        self._blend, found = choose_blend(normal, clips, spoilt_maps, self.options, apart=self.apart)
        self._note_scales()
        self._facts |= found
        self._calibration = self._blend.out_of_sample(normal, clips)
        coarse, scores = self._scales[-1], top_scores(self._calibration)
        if not enough and len(torch.unique(clips)) == len(clips):
            few = f"{len(clips)} normal images are fewer than {LEAST_IMAGES}"
            self._notes.append(f"{few}: single places are judged, all positions alike, but no image as a whole")
        if self._overview and kept.vectors:
            self._whole, added = Whole.learn(torch.cat(kept.vectors), scores, *self._overview.strides)
            self._scored = scores = scores + added
            self._facts["whole_picture_counts"] = True
        if coarse._composition is not None and coarse._composed is not None:
            coarse._composition, composed = coarse._composition.on_the_scale_of(scores, coarse._composed)
            self._scored = torch.maximum(scores, composed)

    def predict(self, batch: Batch) -> Prediction:
        """Return maps on the first level's grid, in spreads above what is usual; of stills also scores, as a whole."""
        patches, seen = self._seen(batch.frames)
        maps, composition = self._blend(seen), self._scales[-1]._composition
        added = self._whole(self._vectors(batch.frames)) if self._whole else None
        return Prediction(maps, as_a_whole(maps, added, composition(patches).cpu() if composition else None))

    def graph(self) -> nn.Module:
        """Return `predict` as a module."""
        network, coarse, whole = self._features.network(self.frame_size), self._scales[-1], self._whole
        overview = self._overview.network(coarse.frame_size) if whole and self._overview else None

        def of_frames(frames: Tensor) -> Tensor | tuple[Tensor, Tensor]:
            sizes = [shrunk(frames[:, None], scale)[:, 0] for scale in range(len(self._scales))]
            seen = [network(one) for one in sizes]
            parts = [one._smoothed(one.judged(features)) for one, features in zip(self._scales, seen, strict=True)]
            maps, composition = self._blend(parts), coarse._composition
            added = whole(pooled(overview(sizes[-1]))) if whole and overview else None
            scores = as_a_whole(maps, added, composition(coarse.patches(seen[-1])) if composition else None)
            return maps if scores is None else (maps, scores)

        return FrameGraph(of_frames, network, *([overview] if overview else []))

    def calibration(self) -> Prediction | None:
        """Leave-one-image-out maps and scores (for frames of a video: leave-one-clip-out); None with one clip only."""
        return None if self._calibration is None else Prediction(maps=self._calibration, scores=self._scored)

    def state(self) -> dict[str, Tensor]:
        """Return what was learned at each scale, and how they are blended."""
        context = {_CONTEXT + name: tensor.cpu() for one in self._scales[1:] for name, tensor in one.learned().items()}
        state = {**super().state(), **context, **self._blend.state()}
        for part in (self._scales[-1]._composition, self._whole):
            state |= part.state() if part else {}
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave; raises BackboneError when the frozen network's weights are others by now."""
        super().load_state(state)
        self._blend = Blend.from_state(state)
        self._scales = self._all_scales[: len(self._blend.weights)]
        names = [name for name in state if name.startswith(_CONTEXT)]
        for method in self._scales[1:]:
            method.restore({name.removeprefix(_CONTEXT): state[name] for name in names})
        self._scales[-1]._composition = Composition.from_state(state, self.device)
        self._whole, self._scored = Whole.from_state(state), None
        self._overview = self._overview_at(int(self._whole.stride)) if self._whole else None

    def _each_scale(self, batches: Batches) -> Iterator[tuple["PatchMapMethod[ScaledMapOptionsType]", Batches]]:
        for scale, method in enumerate(self._scales):
            yield method, Changed(batches, partial(_shrunk_batch, scale=scale)) if scale else batches

    def _left_out_maps(self, left_out: LeftOutDistances, count: int, progress: Progress) -> tuple[Tensor, Tensor]:
        """Return this scale's maps (count, h, w), each without its clip, and the number (count,) of that."""
        parts = (([clip] * len(distances), self._smoothed(distances)) for clip, distances in left_out)
        return gather(parts, count, progress, "leave one out", Tensor.new_empty)

    def _note_scales(self) -> None:
        """Take the facts and notes of the frames at half size among those of all."""
        self._notes += [note for one in self._scales[1:] for note in one._notes]
        self._facts |= {f"context_{name}": fact for one in self._scales[1:] for name, fact in one._facts.items()}

    def _smoothed(self, distances: Tensor) -> Tensor:
        return self.smoothed(distances, self.options.levels[0])

    def _seen(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Turn float32 (B, T, 3, H, W) into the coarsest scale's patches (B, n, D), and each scale's maps (B, h, w)."""
        seen = [one.seen(shrunk(frames, scale)) for scale, one in enumerate(self._scales)]
        maps = [one._smoothed(distances) for one, (_, distances) in zip(self._scales, seen, strict=True)]
        return seen[-1][0], maps

    def _overview_at(self, *strides: int) -> PatchFeatures:
        """Return the network that sees an image as a whole, at the first of the strides that it has."""
        size = self._scales[-1].frame_size
        for stride in strides[:-1]:
            overview = self._features.at(stride)
            with suppress(BackboneError):
                overview.prepare(size)
                return overview
        return self._features.at(strides[-1])

    def _vectors(self, frames: Tensor) -> Tensor:
        """Turn float32 (B, T, 3, H, W) into what is seen of the last frames as a whole: (B, 2 D), on the CPU."""
        assert self._overview is not None
        return pooled(self._overview(shrunk(frames, len(self._scales) - 1)[:, -1])).cpu()

    def _spoilt(self, kept: "KeepingSome", progress: Progress) -> list[Tensor]:
        """Return the maps of each scale of some training frames, each spoilt in every way: (sources x ways, h, w)."""
        parts = []
        with progress.task("spoilt images", len(kept.frames)) as advance:
            for row, frames in enumerate(kept.frames):
                copies = frames.repeat(len(SPOILT), 1, 1, 1, 1)
                copies[:, -1] = spoilt(frames[0, -1], kept.frames[row - 1][0, -1], [0, row])
                parts.append(self._seen(copies)[1])
                advance(1)
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]


def as_a_whole(maps: Tensor, added: Tensor | None, composition: Tensor | None) -> Tensor | None:
    """Return the scores (B,) of maps (B, h, w) with what is odd beside places; None where nothing is known of that."""
    scores = top_scores(maps) + (0 if added is None else added)
    if composition is not None:
        return torch.maximum(scores, composition)
    return None if added is None else scores


def shrunk(frames: Tensor, scale: int) -> Tensor:
    """Turn (B, T, 3, H, W) into the same frames halved `scale` times."""
    flat = frames.flatten(0, 1)
    for _ in range(scale):  # the mean of 2 × 2 pixels, as avg_pool2d gives it in four times as long
        flat = F.interpolate(flat, scale_factor=0.5, mode="bilinear", align_corners=False)
    return flat.reshape(*frames.shape[:3], *flat.shape[2:])


def _shrunk_batch(batch: Batch, scale: int) -> Batch:
    return replace(batch, frames=shrunk(batch.frames, scale))


@dataclass
class KeepingSome:
    """The same batches; the first walk keeps some frames, and what `describe` says of all while they are stills."""

    batches: Batches
    describe: Callable[[Tensor], Tensor] | None = None
    frames: list[Tensor] = field(default_factory=list)  # (1, T, 3, H, W) each
    vectors: list[Tensor] = field(default_factory=list)  # (B, ...) of each batch

    def __iter__(self) -> Iterator[Batch]:
        count, seen, first, clips = len(self.batches), 0, not self.frames, set[str]()
        for batch in self.batches:
            if first:
                clips.update(batch.clips)
                if self.describe and len(clips) == seen + len(batch):
                    self.vectors.append(self.describe(batch.frames))
                else:
                    self.describe, self.vectors = None, []
                most = max(2, min(SOURCES, count, SOURCE_BYTES // (4 * batch.frames[0].numel())))
                places = [(seen + row) * most // count for row in range(-1, len(batch))]
                rows = [row for row in range(len(batch)) if places[row + 1] != places[row]]
                self.frames += [batch.frames[row : row + 1].clone() for row in rows]
            seen += len(batch)
            yield batch

    def __len__(self) -> int:
        return len(self.batches)
