"""A convolutional LSTM that remembers what a clip showed, and gives each frame from it.

ConvLSTM autoencoders for video are Luo et al. (2017, "Remembering history with convolutional LSTM for anomaly
detection"). Where this differs: what is rebuilt is not pixels but, unless `space=pixels`, the whitened features of a
frozen network, through a narrow code; what varies least in them is expected at its mean; one step for each frame, whose
memory lasts as long as the clip; errors are measured in what is usual for each feature in held-out normal clips.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adkit import Batch, Batches, Prediction, Progress
from adkit.nn import options as common
from adkit.nn.features.patches import PatchFeatures
from adkit.nn.methods import FrameGraph
from adkit.nn.training.loop import TrainingRows
from adkit.nn.training.trained_method import TrainedMethod, seeded
from adkit_convlstm.network import FeatureNetwork, PixelNetwork, RecurrentNetwork
from adkit_convlstm.objective import Past, PseudoAnomaly, Rebuild, Task, WarmUp
from adkit_convlstm.sequences import Recording, Sequences, beginnings, in_pieces, record, thinned
from adkit_convlstm.spaces import FeatureSpace, PixelSpace

TOO_FAST = 3  # held-out clips that show every third frame only tell, while training, how well a wrong speed stands out
MEASURED = 1000  # held-out frames, at most, that say how large errors usually are
STARTS = 128
"""Places in the held-out clips, at most, where a clip might have begun: they say how errors sink as memory fills."""
BACKGROUND = 256  # training frames, at most, whose mean is what a fixed camera always shows
_AT_ONCE = 16  # frames per call outside the training


class ConvLstmOptions(common.FeatureOptions, common.TrainedMapOptions):
    """Options of `convlstm`."""

    space: Literal["features", "pixels"] = Field(
        default="features",
        description="what is rebuilt: features of the frozen network, or pixels (with a picture to look at)",
    )
    task: Task = Field(
        default="reconstruct", description="a frame is given from those before it only (predict), or from itself too"
    )
    size: common.FrameSize = Field(
        default=320,
        description="px: N for as many as a square of that side has, in the shape of the clips; or HEIGHTxWIDTH, "
        "in pixels multiples of 16; each 32 to 4096: larger sees smaller anomalies, and is slower",
    )
    levels: common.Strides = Field(default=(16,), description="strides in px of the feature levels, finest first")
    directions: int = Field(
        default=64,
        ge=2,
        le=4096,
        description="main directions of the features that are rebuilt; the others are expected at their mean",
    )
    width: int = Field(default=32, ge=4, le=256, description="channels of the first block, in pixels")
    code: int = Field(
        default=0, ge=0, le=1024, description="channels that reach the memory; 0: 8 in features, 128 in pixels"
    )
    hidden: int = Field(
        default=0, ge=0, le=1024, description="channels of the memory; 0: as many as directions, 128 in pixels"
    )
    layers: int = Field(default=0, ge=0, le=8, description="layers of the memory; 0: 1 in features, 2 in pixels")
    sequence: int = Field(default=16, ge=2, le=256, description="frames of a sequence to learn from")
    stride: int = Field(
        default=4, ge=1, le=10_000, description="frames from one sequence's beginning to the next one's"
    )
    pseudo: PseudoAnomaly = Field(
        default="none",
        description="skip: a quarter of the sequences plays too fast, and the normal speed is to be given",
    )
    frame_limit: int = Field(
        default=10_000,
        ge=64,
        le=10_000_000,
        description="learns from at most this many frames, evenly spread: bounds the memory",
    )
    smoothing: common.Smoothing = 0.0
    # Errors are large where things move. Dividing that out hides what is anomalous there: held-out clips that were
    # played too fast stood out less.
    position_normalisation: common.PositionChoice = "off"
    epochs: common.Epochs = 12
    batch_size: common.BatchSize = Field(default=4, description="sequences per step; lower it when memory runs out")
    learning_rate: common.LearningRate = 2e-3
    patience: common.Patience = 4

    @property
    def multiple(self) -> int:
        """Return the coarsest stride, or what can be halved four times."""
        return common.HALVED if self.space == "pixels" else super().multiple


class ConvLstmMethod(TrainedMethod[ConvLstmOptions]):
    """What a network with a memory could not rebuild of a frame."""

    Options = ConvLstmOptions
    default_scorer: ClassVar[str | None] = "top5"
    reconstructs = True

    _objective: Rebuild

    def __init__(self, options: ConvLstmOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self.reconstructs = options.space == "pixels"
        self._space = PixelSpace()
        if self.reconstructs:
            common.require_halved(options.frame)
        else:
            self._features = PatchFeatures.from_options(options, device, margin=False)
            self._space = FeatureSpace(self._features, options.directions)
        with seeded(seed):
            self._objective = Rebuild(_network_of(options), options.task, options.pseudo).eval()
        self._warm_up = WarmUp()

    def learn(self, batches: Batches, progress: Progress) -> None:
        """Train on a part of the clips; the others say when to stop, and how large errors usually are."""
        options = self.options
        recording = in_pieces(record(batches, self._space.look, options.frame_limit, progress), options.sequence)
        training, held_out = self.split(recording.clips)
        recording = replace(recording, pixels=self._space.learn(recording.pixels, training, self.seed))
        if isinstance(self._objective.network, PixelNetwork):
            self._objective.network.learn_background(recording[thinned(training, BACKGROUND)])
        watched = recording.take(held_out)
        self._facts["frames_learned_from"] = len(training)
        data = TrainingRows(
            Sequences(recording.take(training), options.sequence, options.stride),
            Sequences(watched, options.sequence, options.sequence),
            Sequences(watched, options.sequence, options.sequence, TOO_FAST),
        )
        self.train(data, progress)
        judged = beginnings(watched, MEASURED)
        self._space.learn_spread(residual for _, residual in self._residuals(judged))
        self._warm_up = WarmUp.learn(self._clip_starts(watched))
        self._facts["first_frame_error"] = round(float(self._warm_up.factors[0]), 4)
        self.decide(torch.cat([self._maps(residual, ages) for ages, residual in self._residuals(judged)]), judged.clips)

    def predict(self, batch: Batch) -> Prediction:
        """Judge the last frame of each row; `batch.frames` is the clip from its start."""
        seen = self._space.see(batch.frames.flatten(0, 1).to(self.device))
        seen = seen.reshape(*batch.frames.shape[:2], *seen.shape[1:])
        rebuilt, _ = self._rebuild(seen, None)
        return self._judged(seen[:, -1], rebuilt[:, -1], torch.full((len(seen),), seen.shape[1] - 1))

    def stream(self) -> Callable[[Batch], Prediction]:
        """Judge frames one after the other, with one step of the network for each."""
        clip: str | None = None
        past: Past | None = None
        age = 0

        def judge(batch: Batch) -> Prediction:
            nonlocal clip, past, age
            seen = self._space.see(batch.frames[:, -1].to(self.device))
            parts: list[Tensor] = []
            ages: list[int] = []
            for name, rows in groupby(range(len(batch)), key=lambda row: batch.clips[row]):
                frames = seen[list(rows)][None]
                if name != clip:
                    clip, past, age = name, None, 0
                rebuilt, past = self._rebuild(frames, past)
                parts.append(rebuilt[0])
                ages += range(age, age + frames.shape[1])
                age += frames.shape[1]
            return self._judged(seen, torch.cat(parts), torch.tensor(ages))

        return judge

    def graph(self) -> nn.Module:
        """Return a step of `stream` as a module; it remembers a clip's age, its memory, and what is expected next."""
        look = self._features.network(self.frame_size) if self._features else nn.Identity()
        network, predicts = self._objective.network, self.options.task == "predict"
        nothing = self._space.see(torch.zeros(1, 3, *self.frame_size, device=self.device))[:, None]
        _, (memory, told) = self._rebuild(nothing, None)
        shapes: dict[str, tuple[int, ...]] = {"age": ()}
        for number, (output, cell) in enumerate(memory, 1):
            shapes |= {f"hidden_{number}": tuple(output.shape[1:]), f"cell_{number}": tuple(cell.shape[1:])}
        if predicts:
            shapes["expected"] = tuple(told.shape[2:])

        def of_frames(frames: Tensor, age: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
            seen, cells = self._space.seen(look(frames)), past[: 2 * len(memory)]
            told, after = network(seen[:, None], tuple(zip(cells[::2], cells[1::2], strict=True)))
            now = told[:, 0]
            rebuilt = torch.where(age[:, None, None, None] > 0, past[-1], now) if predicts else now  # see `Rebuild`
            maps = self.normalised(self._maps(rebuilt - seen, age.to(torch.int64)))
            return (maps, age + 1, *(one for layer in after for one in layer), *([now] if predicts else []))

        return FrameGraph(of_frames, look, network.eval(), states=shapes)

    def learned(self) -> dict[str, Tensor]:
        """Return the weights, what the features' directions are, and how errors sink as the memory fills."""
        return {**super().learned(), **self._space.state(), "warm_up": self._warm_up.factors}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        super().restore(state)
        self._space.load_state(state)
        self._warm_up = WarmUp(state["warm_up"])

    @torch.inference_mode()
    def _rebuild(self, frames: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        return self._objective.rebuild(frames, past)

    def _residuals(self, recording: Recording) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk what is not rebuilt of the frames, (B, C, h, w), and how many frames of its run came before each."""
        for run in recording.each_run():
            past: Past | None = None
            for numbers in torch.split(torch.arange(len(run)), _AT_ONCE):
                given = recording[run[numbers]].to(self.device)
                rebuilt, past = self._rebuild(given[None], past)
                yield numbers, rebuilt[0] - given

    def _clip_starts(self, recording: Recording) -> Iterator[Tensor]:
        """Walk maps (T, h, w) of short clips that begin anywhere in these frames."""
        sequences = Sequences(recording, self.options.sequence, self.options.stride)
        for row in torch.split(thinned(torch.arange(len(sequences)), STARTS), 1):
            given = sequences[row].to(self.device)
            rebuilt, _ = self._rebuild(given, None)
            yield self.smoothed(self._space.maps(rebuilt[0] - given[0]), self._space.stride)

    def _maps(self, residual: Tensor, ages: Tensor) -> Tensor:
        """Turn (B, C, h, w), and how many frames of its clip came before each into (B, h, w) on the CPU."""
        return self._warm_up(self.smoothed(self._space.maps(residual), self._space.stride), ages)

    def _judged(self, seen: Tensor, rebuilt: Tensor, ages: Tensor) -> Prediction:
        images = rebuilt.clamp(0, 1).cpu().contiguous() if self.reconstructs else None
        return Prediction(maps=self.normalised(self._maps(rebuilt - seen, ages)), images=images)


def _network_of(options: ConvLstmOptions) -> RecurrentNetwork:
    code, hidden, layers, directions = options.code, options.hidden, options.layers, options.directions
    if options.space == "pixels":
        return PixelNetwork(options.frame, options.width, code or 128, hidden or 128, layers or 2)
    return FeatureNetwork(directions, code or 8, hidden or directions, layers or 1)
