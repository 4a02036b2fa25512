"""The built-in scorers: how one anomaly map becomes one number."""

from adkit import ScorerEntry, hookimpl

HERE = "adkit_scorers.scorers"


@hookimpl
def adkit_scorers() -> list[ScorerEntry]:
    top5 = "the mean of the highest 5 % of pixels: what fills more of the image; videos"
    return [
        ScorerEntry("max", "the highest pixel: sees the smallest defect, and the noise", f"{HERE}:Maximum"),
        ScorerEntry("mean", "the mean of all pixels: for changes of the whole image", f"{HERE}:Mean"),
        ScorerEntry("top1", "mean of the highest 1 % of pixels: small defects with less noise", f"{HERE}:TopPercent"),
        ScorerEntry("top5", top5, f"{HERE}:TopFivePercent"),
        ScorerEntry("top", "the mean of the highest pixels, so many % as is told (top:percent=3)", f"{HERE}:Top"),
        ScorerEntry("quantile", "a high quantile of the pixels (quantile:q=0.99)", f"{HERE}:Quantile"),
    ]
