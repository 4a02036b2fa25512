"""What the methods share that learn from a network's view of frames: their sizes, decisions, state and maps."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeVar

from torch import Tensor, nn

from adkit.interfaces import Batches, Method, Progress, Workspace
from adkit.nn.features.patches import PatchFeatures
from adkit.nn.normalisation import PositionNormalisation, decide, smooth
from adkit.nn.options import FrameOptions, MapOptions
from adkit.types import FitReport

FrameOptionsType = TypeVar("FrameOptionsType", bound=FrameOptions)
MapOptionsType = TypeVar("MapOptionsType", bound=MapOptions)


class FrameGraph(nn.Module):
    """What a method computes of frames, with the networks that it runs: what `Method.graph` returns."""

    def __init__(
        self,
        of_frames: Callable[..., Tensor | tuple[Tensor, ...]],
        *networks: nn.Module,
        states: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.of_frames = of_frames
        self.networks = nn.ModuleList(networks)
        self.states = states or {}

    def forward(self, frames: Tensor, *states: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Turn float32 (B, 3, H, W) into maps (B, h, w), scores (B,) or both; then what is remembered of each clip."""
        return self.of_frames(frames, *states)


class LearnedMethod(Method[FrameOptionsType]):
    """A method that writes `learn`, `predict`, `learned` and `restore`; it puts what to report into `_facts`."""

    steps: ClassVar[Sequence[tuple[str, float]]] = ()
    """The steps that `learn` tells of, and how long each takes in proportion."""

    _features: PatchFeatures | None = None  # the frozen network, where it looks through one
    _calibration: Tensor | None = None  # out-of-sample maps or scores of the training samples, where `learn` gives them
    _normalisation: PositionNormalisation | None = None  # of its maps, where position matters

    def __init__(self, options: FrameOptionsType, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._facts: dict[str, str | int | float | bool] = {}
        self._notes: list[str] = []
        self._curves: dict[str, list[float]] = {}
        self._workspace: Workspace | None = None

    @property
    def frame_size(self) -> tuple[int, int]:
        """Return what the options say."""
        return self.options.frame

    def planned(self) -> Sequence[tuple[str, float]]:
        """Return `steps`, or what comes of them with these options."""
        return self.steps

    @abstractmethod
    def learn(self, batches: Batches, progress: Progress) -> None:
        """Learn from normal data, and put what is worth knowing into `self._facts`."""

    @abstractmethod
    def learned(self) -> dict[str, Tensor]:
        """Return what `learn` learned, for a run."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> FitReport:
        """Make the frozen network ready, then learn."""
        self._facts, self._curves, self._notes, self._workspace = {}, {}, [], workspace
        self._calibration = self._normalisation = None
        with progress.plan([*([("network", 1.0)] if self._features else []), *self.planned()]):
            if self._features:
                with progress.task("network", 1) as advance:
                    self._features.prepare(self.frame_size)
                    advance(1)
            self.learn(batches, progress)
        return FitReport(self._facts, self._curves, notes=self._notes)

    def state(self) -> dict[str, Tensor]:
        """Return what was learned, the frozen network's fingerprint, and the normalisation where there is one."""
        parts = [part.state() for part in (self._features, self._normalisation) if part]
        return {name: tensor.cpu() for part in (self.learned(), *parts) for name, tensor in part.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave; raises BackboneError when the frozen network's weights are others by now."""
        if self._features:
            self._features.check(state)
        self._calibration, self._normalisation = None, PositionNormalisation.from_state(state)
        self.restore(state)


class MapMethod(LearnedMethod[MapOptionsType]):
    """A method with maps, which are smoothed, and normalised where position matters."""

    # The mean over 1 % of the pixels has less noise than the one highest pixel, and is still small enough for a
    # small defect. benchmarks/scorers.py compares them on the synthetic parts; no real test label was used.
    default_scorer: ClassVar[str | None] = "top1"

    def smoothed(self, maps: Tensor, stride: float = 1) -> Tensor:
        """Turn (B, h, w) on any device, a position every `stride` px into (B, h, w) on the CPU, smoothed."""
        return smooth(maps.cpu(), self.options.smoothing / stride)

    def normalised(self, maps: Tensor) -> Tensor:
        """Turn (B, h, w) into (B, h, w), in spreads above what is usual at each position where position matters."""
        return self._normalisation(maps) if self._normalisation else maps

    def decide(self, maps: Tensor, clips: Tensor) -> None:
        """Decide whether position matters by out-of-sample maps (N, h, w) and the number (N,) of each one's clip."""
        self._normalisation, found = decide(maps, clips, self.options.position_normalisation)
        self._facts |= found
