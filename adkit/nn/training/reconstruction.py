"""Methods that find anomalous what they cannot reconstruct: what `ae` and `unet` share, whose networks differ."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, PlainSerializer
from torch import Tensor, nn

from adkit.errors import OptionError
from adkit.interfaces import Batches, Progress
from adkit.nn.corruption import Corruption, corrupt
from adkit.nn.methods import FrameGraph
from adkit.nn.options import HALVED, BatchSize, Choice, FrameSize, Smoothing, TrainedMapOptions, require_halved
from adkit.nn.training.frame_store import FrameStore
from adkit.nn.training.loop import Objective, TrainingRows
from adkit.nn.training.reconstruction_error import MS_SSIM_LEAST_PX, ErrorMap, Loss, error_map, loss_of
from adkit.nn.training.registration import Registration, decide_registration, laid_back
from adkit.nn.training.trained_method import TrainedMethod, seeded
from adkit.types import Batch, Prediction

MARGIN = 16
"""px that are mirrored around a frame before the network sees it, and cut off what it gives.

Convolutions continue an image with zeros. What they make of that at the border can never be reconstructed: without
the margin its error hides everything else, grows with the image's brightness, and makes position seem to matter.
"""

_AT_ONCE = 32  # frames per forward pass outside the training
_TO_REGISTER_BY = (20, 200, 500_000_000)  # frames, at least and at most, and bytes of them: more changes nothing


def _parse_kinds(value: Any) -> Any:
    """Read "stain,noise,stain" as ("stain", "noise"), "none" as ()."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip() not in ("", "none")]
    return tuple(dict.fromkeys(value)) if isinstance(value, list | tuple) else value


Corruptions = Annotated[
    tuple[Corruption, ...],
    BeforeValidator(_parse_kinds, json_schema_input_type=str),
    PlainSerializer(lambda kinds: ",".join(kinds) or "none", return_type=str),
]
"""Written as "stain,paste,noise" or "none"."""


class ReconstructionOptions(TrainedMapOptions):
    """What is reconstructed, from what, and how its error is measured."""

    # Few images in small steps teach much more than in large ones, as the synthetic bolt shows.
    batch_size: BatchSize = Field(default=4, description="frames per step: small ones take more steps, a little longer")
    size: FrameSize = Field(
        default=128,
        description="px: N for as many as a square of that side has, in the shape of the images; or HEIGHTxWIDTH, "
        "multiples of 16; each 32 to 4096: larger sees smaller defects, and learns slower",
    )
    width: int = Field(default=32, ge=4, le=256, description="channels of the first block; each block doubles them")
    loss: Loss = Field(default="l1+ssim", description="what the network learns to make small")
    # On the synthetic parts, gradients tell most; no real test label was used.
    error: ErrorMap = Field(default="msgms", description="what the map shows of the difference to the input")
    corruption: Corruptions = Field(
        default=("stain", "paste", "noise"),
        description="what is done to the images that it learns to repair: stain, paste and noise, or none",
    )
    smoothing: Smoothing = 2.0
    registration: Choice = Field(
        default="auto",
        description="align parts that lie in any orientation, and cut them out; auto: the normal images decide",
    )

    @property
    def multiple(self) -> int:
        """Return what can be halved four times."""
        return HALVED

    @property
    def enlarged(self) -> int:
        """Say how many times as large the images are looked at: a part may be cut out, and gets all the pixels."""
        return 1 if self.registration == "off" else 2

    @property
    def finest_px(self) -> float:
        """Return how wide a spot becomes by smoothing, in px of the image that is looked at."""
        return self.enlarged * super().finest_px


OptionsType = TypeVar("OptionsType", bound=ReconstructionOptions)


class Denoising(Objective):
    """Spoils images and learns to give back the clean ones."""

    def __init__(self, network: nn.Module, loss: Loss, error: ErrorMap, corruption: Sequence[Corruption]) -> None:
        super().__init__()
        # Convolutions are faster with the channels last.
        self.network = network.to(memory_format=torch.channels_last)
        self.loss = loss
        self.error = error
        self.corruption = tuple(corruption)

    def forward(self, batch: Tensor, draw: int) -> Tensor:
        """Turn (B, 3, H, W), RGB in 0..1 into (B,)."""
        given = corrupt(batch, self.corruption, np.random.default_rng(draw))
        found = self.reconstruct(given)
        # Similarities are differences of squares, for which half precision is not enough.
        with torch.autocast(batch.device.type, enabled=False):
            return loss_of(self.loss, found, batch)

    def reconstruct(self, frames: Tensor) -> Tensor:
        """Turn (B, 3, H, W) into (B, 3, H, W), RGB in 0..1, float32 whatever the precision inside."""
        wide = F.pad(frames, [MARGIN] * 4, mode="reflect").contiguous(memory_format=torch.channels_last)
        found: Tensor = self.network(wide)
        return torch.sigmoid(found[..., MARGIN:-MARGIN, MARGIN:-MARGIN].float())

    def scores(self, batch: Tensor) -> Tensor:
        """Return the mean of the highest 1 % of each error map."""
        errors = error_map(self.error, self.reconstruct(batch), batch).flatten(1)
        return errors.topk(max(1, errors.shape[1] // 100), dim=1).values.mean(dim=1)


class Reconstruction(TrainedMethod[OptionsType]):
    """Learns to reconstruct normal images; the map is the error of the reconstruction."""

    reconstructs = True

    _objective: Denoising

    def __init__(self, options: OptionsType, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        require_halved(options.frame)
        self._require_scales(options.frame, "", "or a larger size")
        with seeded(seed):
            network = self.network(options)
        self._objective = Denoising(network, options.loss, options.error, options.corruption).eval()
        self._registration: Registration | None = None

    @classmethod
    @abstractmethod
    def network(cls, options: OptionsType) -> nn.Module:
        """Turn a new network: (B, 3, H, W), RGB in 0..1 into (B, 3, H, W), the logits of the reconstruction."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """Return what the options say; twice that where a part may be cut out."""
        height, width = self.options.frame
        return (self.options.enlarged * height, self.options.enlarged * width)

    def learn(self, batches: Batches, progress: Progress) -> None:
        """Decide how parts lie, train, then see in the held-out images whether and how to normalise each position."""
        store = FrameStore.collect(batches, progress)
        places = self.split(store.clips)
        self._learn_to_lay(store.take(places[0]))
        laid = store.changed(lambda part, _: self._laid(part)[0])
        training, held_out = (laid.take(rows) for rows in places)
        corrupted = held_out.changed(
            lambda part, number: corrupt(part, ("stain", "paste"), np.random.default_rng([self.seed, number]), 0)
        )
        self.train(TrainingRows(training, held_out, corrupted), progress)
        self.decide(torch.cat([self._errors(part)[0] for part in held_out.parts(_AT_ONCE)]), held_out.clips)

    def predict(self, batch: Batch) -> Prediction:
        """Return maps and the reconstruction; what lies around a part that was cut out is as its least odd position."""
        laid, matrices = self._laid(batch.frames[:, -1])
        maps, images = self._errors(laid)
        maps = self.normalised(maps)
        if self._registration:
            maps = laid_back(maps, matrices, self.frame_size)
            images = laid_back(images.permute(0, 2, 3, 1), matrices, self.frame_size, cv2.BORDER_REPLICATE)
            images = images.permute(0, 3, 1, 2).contiguous()
        return Prediction(maps=maps, images=images)

    def graph(self) -> nn.Module:
        """Return the maps of `predict` as a module; raises OptionError where parts are aligned first."""
        if self._registration:
            told = "this run aligns the part in each image before it looks at it, which no graph can do"
            raise OptionError(told, hint="fit again with --set registration=off, or with patchknn")

        def of_frames(frames: Tensor) -> Tensor:
            given = self._laid(frames)[0]
            found = self._objective.reconstruct(given)
            return self.normalised(self.smoothed(error_map(self.options.error, found, given)))

        return FrameGraph(of_frames, self._objective.eval())

    def learned(self) -> dict[str, Tensor]:
        """Return the weights, and how parts are laid."""
        return {**super().learned(), **(self._registration.state() if self._registration else {})}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        super().restore(state)
        self._registration = Registration.from_state(state)

    def _learn_to_lay(self, store: FrameStore) -> None:
        height, width = self.frame_size
        least, most, most_bytes = _TO_REGISTER_BY
        count = min(len(store), max(least, min(most, most_bytes // (12 * height * width))))
        some = store.take(torch.linspace(0, len(store) - 1, count).round().to(torch.int64))
        frames = [frame.permute(1, 2, 0).contiguous().numpy() for part in some.parts(_AT_ONCE) for frame in part]
        area = math.prod(self.options.frame)
        self._registration, facts = decide_registration(frames, self.options.registration, area)
        self._facts |= facts
        if self._registration:
            height, width = self._registration.usual.shape
            cut_out = ", where parts are cut out of the images"
            self._require_scales((height, width), cut_out, "a larger size, or registration=off")

    def _require_scales(self, size: tuple[int, int], where: str, instead: str) -> None:
        """Raise OptionError where MS-SSIM is part of the loss, and has too few pixels."""
        if "ms_ssim" in self.options.loss and min(size) < MS_SSIM_LEAST_PX:
            raise OptionError(
                f"loss={self.options.loss} at {size[0]}x{size[1]} px{where}: "
                f"MS-SSIM needs at least {MS_SSIM_LEAST_PX} px a side",
                hint=f"choose loss=l1+ssim, {instead}",
            )

    def _laid(self, frames: Tensor) -> tuple[Tensor, list[Any]]:
        """Give frames as the network gets them, and the matrices of the registration, if there is one."""
        if self._registration:
            return self._registration(frames)
        return (frames if self.options.registration == "off" else F.avg_pool2d(frames, 2)), []

    @torch.inference_mode()
    def _errors(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Turn float32 (B, 3, H, W) into smoothed error maps (B, H, W) and reconstructions, on the CPU."""
        self._objective.to(self.device).eval()
        given = frames.to(self.device)
        found = self._objective.reconstruct(given)
        return self.smoothed(error_map(self.options.error, found, given)), found.cpu().contiguous()
