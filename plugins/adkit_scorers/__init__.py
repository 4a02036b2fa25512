"""The built-in scorers: how one anomaly map becomes one number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adkit import hookimpl
from adkit.interfaces import Scorer, ScorerEntry


def _max() -> type[Scorer[Any]]:
    from adkit_scorers.scorers import Maximum

    return Maximum


def _mean() -> type[Scorer[Any]]:
    from adkit_scorers.scorers import Mean

    return Mean


def _top1() -> type[Scorer[Any]]:
    from adkit_scorers.scorers import TopPercent

    return TopPercent


def _top5() -> type[Scorer[Any]]:
    from adkit_scorers.scorers import TopFivePercent

    return TopFivePercent


def _quantile() -> type[Scorer[Any]]:
    from adkit_scorers.scorers import Quantile

    return Quantile


@hookimpl
def adkit_scorers() -> Iterable[ScorerEntry]:
    """Announces `max`, `mean`, `top1`, `top5` and `quantile`."""
    return [
        ScorerEntry("max", "the highest pixel: sees the smallest defect, and the noise", _max),
        ScorerEntry("mean", "the mean of all pixels: for changes of the whole picture", _mean),
        ScorerEntry("top1", "the mean of the highest 1 % of pixels: small defects with less noise", _top1),
        ScorerEntry("top5", "the mean of the highest 5 % of pixels: what fills more of the picture; videos", _top5),
        ScorerEntry("quantile", "a high quantile of the pixels (quantile:q=0.99)", _quantile),
    ]
