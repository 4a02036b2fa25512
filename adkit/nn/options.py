"""Options that methods on frozen features share."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from adkit.errors import OptionError
from adkit.nn.devices import Precision
from adkit.options import Options

EMBEDDED = "efficientnet_lite0"  # the backbone whose weights arrive with pip


LEAST_PX, MOST_PX = 32, 4096
MOST_OVER = 1.05
"""A frame may have so many times the pixels that were asked for, where its shape then is more like the images'."""
HALVED = 16  # sides of a frame are multiples of this, in px, for a network that halves it four times

Choice = Literal["auto", "on", "off"]  # whether something is done; "auto": the normal data decide


def _parse_size(value: Any) -> Any:
    """Read "384" as 384, "256x512" as (256, 512), height first."""
    parts = str(value).lower().replace("×", "x").split("x") if isinstance(value, int | str) else list(value)
    sides = [int(part) if str(part).strip().isdigit() else 0 for part in parts]
    if len(sides) > 2 or not all(LEAST_PX <= side <= MOST_PX for side in sides):
        raise ValueError(f"a size is HEIGHTxWIDTH or one number, each {LEAST_PX} to {MOST_PX} px")
    return sides[0] if len(sides) == 1 else tuple(sides)


def laid_out(budget: int, shape: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return about `budget` x `budget` px, hardly more, in the shape of an image; both are multiples of `multiple`."""
    aspect, wanted = shape[0] / shape[1], budget**2
    least = math.ceil(LEAST_PX / multiple) * multiple
    sides = range(least, max(least, MOST_PX) + 1, multiple)
    near = [
        (height, max(least, min(width, sides[-1])))
        for height in sides
        for below in [int(height / aspect / multiple) * multiple]
        for width in (below - multiple, below, below + multiple)
    ]

    def unlike(size: tuple[int, int]) -> float:
        return 2 * abs(math.log(size[0] / size[1] / aspect)) + abs(math.log(size[0] * size[1] / wanted))

    few_enough = [size for size in near if size[0] * size[1] <= MOST_OVER * wanted]
    return min(few_enough or near, key=unlike if few_enough else lambda size: (min(size), unlike(size)))


def _parse_list(value: Any) -> Any:
    """Read "8,16" as ("8", "16"); one number is a list of one."""
    if isinstance(value, int):
        return (value,)
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _increasing(values: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("strides must increase, as in 8,16")
    return values


def _parse_path(value: Any) -> Any:
    """Read "none" or nothing as None; a path is made absolute, so that the run finds it from any folder."""
    if value in (None, "", "none"):
        return None
    try:
        return Path(value).expanduser().resolve()
    except RuntimeError as error:  # of a user who does not exist
        raise ValueError(str(error)) from None


FrameSize = Annotated[
    int | tuple[int, int],
    BeforeValidator(_parse_size, json_schema_input_type=str),
    PlainSerializer(lambda size: str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}", return_type=str),
]
"""(height, width) in px, written as "256x512"; or "384": as many pixels as a square of that side."""

Strides = Annotated[
    tuple[Annotated[int, Field(ge=1, le=64)], ...],
    Field(min_length=1),
    BeforeValidator(_parse_list, json_schema_input_type=str),
    AfterValidator(_increasing),
    PlainSerializer(lambda values: ",".join(map(str, values)), return_type=str),
]
"""Feature levels by their stride in px, written as "8,16"."""


Neighbourhood = Annotated[int, Field(ge=1, le=15, description="each patch is the mean over this many positions a side")]
Smoothing = Annotated[
    float, Field(ge=0, le=64, description="px, the maps are smoothed by a Gaussian of this standard deviation")
]
PositionChoice = Annotated[
    Choice, Field(description="judge each position by what is usual there: auto lets the normal data decide")
]
PatchLimit = Annotated[int, Field(ge=1000, le=1_000_000_000)]
Epochs = Annotated[int, Field(ge=1, le=100_000, description="at most; early stopping may end it before")]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
LearningRate = Annotated[float, Field(gt=0, le=100, description="of Adam; halved when held-out normals get no better")]
Patience = Annotated[int, Field(ge=1, le=100_000, description="epochs without a better held-out loss before it stops")]


class FrameOptions(Options):
    """How large the frames are that a method sees."""

    size: FrameSize = Field(
        default=384,
        description="px: N for as many as a square of that side has, in the shape of the images; or HEIGHTxWIDTH; "
        "each 32 to 4096: larger sees smaller defects, slower",
    )

    @property
    def multiple(self) -> int:
        """Return what the sides of a frame are multiples of, in px, where they follow the images' shape."""
        return 1

    @property
    def finest_px(self) -> float:
        """Return 1: each pixel is seen."""
        return 1.0

    def sized(self, shape: tuple[int, int]) -> Self:
        """Return the options with the size of a frame in the shape of these images, unless both sides are given."""
        if not isinstance(self.size, int):
            return self
        return self.model_copy(update={"size": laid_out(self.size, shape, self.multiple)})

    @property
    def frame(self) -> tuple[int, int]:
        """Return (height, width) in px of a frame; a square one as long as the images' shape is not known."""
        size = self.sized((1, 1)).size
        assert not isinstance(size, int)
        return size


class FeatureOptions(FrameOptions):
    """Which network looks at the image, and at which levels."""

    backbone: str = Field(
        default=EMBEDDED,
        description="the feature network: the embedded one, or one of timm with feature maps (wide_resnet50_2.tv_in1k)",
    )
    weights: Annotated[Path | None, BeforeValidator(_parse_path)] = Field(
        default=None, description="a local .pth or .safetensors file with the backbone's weights"
    )
    levels: Strides = Field(
        default=(8, 16), description="strides in px of the feature levels, finest first; the first sets the grid"
    )

    @property
    def multiple(self) -> int:
        """Return the coarsest stride."""
        return self.levels[-1]

    @property
    def finest_px(self) -> float:
        """Return the finest stride, or more where maps are smoothed."""
        return max(float(self.levels[0]), super().finest_px)


class MapOptions(FrameOptions):
    """How maps are made steadier: `adkit.nn.normalisation` does what these say."""

    smoothing: Smoothing = 4.0
    position_normalisation: PositionChoice = "auto"

    @property
    def finest_px(self) -> float:
        """Return how wide a spot becomes by smoothing."""
        return max(2 * self.smoothing, super().finest_px)


class PatchMapOptions(FeatureOptions, MapOptions):
    """How features become maps: `adkit.nn.features.patch_maps` does what these say."""

    neighbourhood: Neighbourhood = 3


class ScaledMapOptions(PatchMapOptions):
    """How features at two scales become maps: `adkit.nn.features.patch_maps` does what these say."""

    context: bool = Field(
        default=True, description="look at the image at half size too, where misplaced and missing things show"
    )

    @property
    def multiple(self) -> int:
        """Return the coarsest stride, twice that where frames are halved."""
        return super().multiple * (2 if self.context else 1)


class TrainingOptions(Options):
    """How long, how fast and how carefully a network learns."""

    epochs: Epochs = 60
    batch_size: BatchSize = Field(default=16, description="rows per step; lower it when memory runs out")
    learning_rate: LearningRate = 1e-3
    weight_decay: float = Field(default=1e-5, ge=0, le=100, description="of Adam")
    patience: Patience = 12
    clip_norm: float = Field(default=1.0, gt=0, le=1e9, description="longer gradients are cut to this length")
    precision: Precision = Field(
        default="auto", description="bf16 is several times faster where the processor has it; auto finds out"
    )


class TrainedMapOptions(TrainingOptions, MapOptions):
    """Of a method with maps that trains a network."""


def require_halved(size: tuple[int, int]) -> None:
    """Raise OptionError unless both sides can be halved four times."""
    height, width = size
    if height % HALVED or width % HALVED:
        fitting = (max(LEAST_PX, round(side / HALVED) * HALVED) for side in size)
        told = f"size={height}x{width}: the network halves the frame four times, and needs multiples of {HALVED} px"
        raise OptionError(told, hint=f"for example --set size={'x'.join(map(str, fitting))}")
