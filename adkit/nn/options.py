"""Options that methods on frozen features share."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from adkit.errors import OptionError
from adkit.nn.devices import Precision
from adkit.options import Options

EMBEDDED = "efficientnet_lite0"
"""The backbone whose weights arrive with pip."""


LEAST_PX, MOST_PX = 32, 4096

Choice = Literal["auto", "on", "off"]
"""Whether something is done; "auto": the normal data decide."""


def _parse_size(value: Any) -> Any:
    """ "384" or 384 -> (384, 384); "256x512" -> (256, 512), height first."""
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, str):
        parts = value.lower().replace("×", "x").split("x")
        if len(parts) > 2 or not all(part.strip().isdigit() for part in parts):
            raise ValueError(f"a size is HEIGHTxWIDTH or one number, each {LEAST_PX} to {MOST_PX} px")
        return tuple(parts * 2 if len(parts) == 1 else parts)
    return value


def _parse_list(value: Any) -> Any:
    """ "8,16" -> ("8", "16"); one number is a list of one."""
    if isinstance(value, int):
        return (value,)
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _increasing(values: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("strides must increase, as in 8,16")
    return values


def _parse_path(value: Any) -> Any:
    """ "none" or nothing -> None; a path is made absolute, so that the run finds it from any folder."""
    if value in (None, "", "none"):
        return None
    try:
        return Path(value).expanduser().resolve()
    except RuntimeError as error:  # of a user who does not exist
        raise ValueError(str(error)) from None


Pixels = Annotated[int, Field(ge=LEAST_PX, le=MOST_PX)]
FrameSize = Annotated[
    tuple[Pixels, Pixels],
    BeforeValidator(_parse_size, json_schema_input_type=str),
    PlainSerializer(lambda size: f"{size[0]}x{size[1]}", return_type=str),
]
"""(height, width) in px, written as "384" or "256x512"."""

Strides = Annotated[
    tuple[Annotated[int, Field(ge=1, le=64)], ...],
    Field(min_length=1),
    BeforeValidator(_parse_list, json_schema_input_type=str),
    AfterValidator(_increasing),
    PlainSerializer(lambda values: ",".join(map(str, values)), return_type=str),
]
"""Feature levels by their stride in px, written as "8,16"."""


Neighbourhood = Annotated[
    int, Field(ge=1, le=15, description="each patch takes the mean over this many positions a side")
]
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
        default=(384, 384),
        description="frame size in px, HEIGHTxWIDTH or one number, 32 to 4096: larger sees smaller defects, slower",
    )


class FeatureOptions(FrameOptions):
    """Which network looks at the picture, and at which levels."""

    backbone: str = Field(
        default=EMBEDDED,
        description="the feature network: the embedded one, or any convolutional one of timm (wide_resnet50_2.tv_in1k)",
    )
    weights: Annotated[Path | None, BeforeValidator(_parse_path)] = Field(
        default=None, description="a local .pth or .safetensors file with the backbone's weights"
    )
    levels: Strides = Field(
        default=(8, 16),
        description="strides in px of the feature levels, finest first; the first sets the grid",
    )


class MapOptions(FrameOptions):
    """How maps are made steadier: `adkit.nn.normalisation` does what these say."""

    smoothing: Smoothing = 4.0
    position_normalisation: PositionChoice = "auto"


class PatchMapOptions(FeatureOptions, MapOptions):
    """How features become maps: `adkit.nn.features.patch_maps` does what these say."""

    neighbourhood: Neighbourhood = 3


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


def require_sixteens(size: tuple[int, int]) -> None:
    """Raise OptionError unless both sides can be halved four times."""
    height, width = size
    if height % 16 or width % 16:
        raise OptionError(
            f"size={height}x{width}: the network halves the frame four times, and needs multiples of 16 px",
            hint=f"for example --set size={max(32, round(height / 16) * 16)}x{max(32, round(width / 16) * 16)}",
        )
