"""Options that methods with a training share."""

from __future__ import annotations

from pydantic import Field

from adkit.nn.devices import Precision
from adkit.options import Options


class TrainingOptions(Options):
    """How long, how fast and how carefully a network learns."""

    epochs: int = Field(default=60, ge=1, description="at most; early stopping may end it before")
    batch_size: int = Field(default=16, ge=1, description="rows per step; lower it when memory runs out")
    learning_rate: float = Field(default=1e-3, gt=0, description="of Adam; halved when held-out normals get no better")
    weight_decay: float = Field(default=1e-5, ge=0, description="of Adam")
    patience: int = Field(default=12, ge=1, description="epochs without a better held-out loss before it stops")
    clip_norm: float = Field(default=1.0, gt=0, description="longer gradients are cut to this length")
    precision: Precision = Field(
        default="auto", description="bf16 is several times faster where the processor has it; auto finds out"
    )
    processes: int = Field(default=1, ge=1, description="train in several processes, one for each GPU")
