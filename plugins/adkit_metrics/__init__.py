"""The built-in metrics: how well scores and maps agree with the truth."""

from adkit import MetricEntry, hookimpl

RANKING, PIXELS, DECISIONS = (f"adkit_metrics.{module}" for module in ("ranking", "pixels", "decisions"))


@hookimpl
def adkit_metrics() -> list[MetricEntry]:
    caught = "share of anomalous images, or of events in clips, caught at the run's threshold"
    precision, false_alarms = "area under precision over recall, per frame", "events found in an hour of normal frames"
    return [
        MetricEntry("caught_at_promise", caught, f"{DECISIONS}:CaughtAtPromise"),
        MetricEntry("image_auroc", "chance that an anomalous image outscores a good one", f"{RANKING}:ImageAuroc"),
        MetricEntry("average_precision", "area under precision over recall, per image", f"{RANKING}:AveragePrecision"),
        MetricEntry("oracle_f1", "best F1 over all thresholds: oracle, it uses test labels", f"{RANKING}:OracleF1"),
        MetricEntry("pixel_auroc", "chance that an anomalous pixel outscores a good one", f"{PIXELS}:PixelAuroc"),
        MetricEntry("aupro", "mean overlap with defect regions, FPR ≤ 0.3, defective images", f"{PIXELS}:Aupro"),
        MetricEntry("aupimo", "mean recall of defective pixels by image, FPR 0.00001 to 0.0001", f"{PIXELS}:Aupimo"),
        MetricEntry("pixel_iou", "overlap of map and mask at the run's pixel threshold", f"{PIXELS}:PixelIoU"),
        MetricEntry("frame_auroc", "chance that an anomalous frame outscores a good one", f"{RANKING}:FrameAuroc"),
        MetricEntry("frame_average_precision", precision, f"{RANKING}:FrameAveragePrecision"),
        MetricEntry("false_alarms_per_hour", false_alarms, f"{DECISIONS}:FalseAlarmsPerHour"),
    ]
