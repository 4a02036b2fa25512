"""Two ways to the same answers of a method."""

from __future__ import annotations

import torch

from adkit.types import Prediction

TOLERANCE = 1e-3
"""Two ways to the same result may differ by this share of the results' range."""


def check_same(expected: Prediction, found: Prediction, how: str, otherwise: str) -> None:
    """Checks that maps and scores are the same."""
    for name in ("maps", "scores"):
        one, other = getattr(expected, name), getattr(found, name)
        assert (one is None) == (other is None), f"{name} are there only {how} or only {otherwise}"
        if one is not None:
            assert len(one) == len(other), f"{len(other)} {name} {how}, {len(one)} {otherwise}"
            span = float(one.max() - one.min()) or 1.0
            difference = float((one - other).abs().max())
            assert difference <= TOLERANCE * span, f"{name} {how} differ from {name} {otherwise} by {difference:.3g}"


def joined(parts: list[Prediction]) -> Prediction:
    """Several answers as one."""

    def join(name: str) -> torch.Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if tensors[0] is None else torch.cat(tensors)

    return Prediction(join("maps"), join("scores"), join("images"))
