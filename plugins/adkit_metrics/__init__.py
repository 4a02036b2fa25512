"""The built-in metrics: how well scores and maps agree with the truth."""

from __future__ import annotations

from collections.abc import Iterable

from adkit import hookimpl
from adkit.interfaces import Metric, MetricEntry


def _image_auroc() -> type[Metric]:
    from adkit_metrics.images import ImageAuroc

    return ImageAuroc


def _average_precision() -> type[Metric]:
    from adkit_metrics.images import AveragePrecision

    return AveragePrecision


def _oracle_f1() -> type[Metric]:
    from adkit_metrics.images import OracleF1

    return OracleF1


def _pixel_auroc() -> type[Metric]:
    from adkit_metrics.pixels import PixelAuroc

    return PixelAuroc


def _aupro() -> type[Metric]:
    from adkit_metrics.pixels import Aupro

    return Aupro


def _pixel_iou() -> type[Metric]:
    from adkit_metrics.pixels import PixelIoU

    return PixelIoU


def _frame_auroc() -> type[Metric]:
    from adkit_metrics.frames import FrameAuroc

    return FrameAuroc


def _frame_average_precision() -> type[Metric]:
    from adkit_metrics.frames import FrameAveragePrecision

    return FrameAveragePrecision


def _event_recall() -> type[Metric]:
    from adkit_metrics.events import EventRecall

    return EventRecall


def _false_alarms_per_hour() -> type[Metric]:
    from adkit_metrics.events import FalseAlarmsPerHour

    return FalseAlarmsPerHour


@hookimpl
def adkit_metrics() -> Iterable[MetricEntry]:
    """Announces the ten metrics."""
    return [
        MetricEntry("image_auroc", "chance that an anomalous image outscores a good one", _image_auroc),
        MetricEntry("average_precision", "area under precision over recall, per image", _average_precision),
        MetricEntry("oracle_f1", "best F1 over all thresholds: oracle, it uses test labels", _oracle_f1),
        MetricEntry("pixel_auroc", "chance that an anomalous pixel outscores a good one", _pixel_auroc),
        MetricEntry("aupro", "mean overlap with defect regions, FPR ≤ 0.3, defective images", _aupro),
        MetricEntry("pixel_iou", "overlap of map and mask at the run's pixel threshold", _pixel_iou),
        MetricEntry("frame_auroc", "chance that an anomalous frame of a clip outscores a good one", _frame_auroc),
        MetricEntry("frame_average_precision", "area under precision over recall, per frame", _frame_average_precision),
        MetricEntry("event_recall", "share of the events in clips that the run's threshold finds", _event_recall),
        MetricEntry("false_alarms_per_hour", "events found in an hour of normal frames", _false_alarms_per_hour),
    ]
