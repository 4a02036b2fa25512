"""adkit: visual anomaly detection that learns from good examples only.

`fit`, `load`, `evaluate`, `compare` and `rows` do from Python what the commands do.

A plugin imports what it needs from here, ready-made parts from `adkit.nn` (networks), `adkit.data` (reading images
and videos), `adkit.synthetic` (drawn parts) and `adkit.files` (writing to disk), and in its tests the checks of
`adkit.testing`. The rest may change without notice. Names are loaded when they are first used.
"""

import importlib
import os
from typing import TYPE_CHECKING

# A line has no internet, and what it does is nobody's business: before onnxruntime is imported, as later is too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# How often a thread of GNU OpenMP looks whether the others are done before it sleeps: a tenth of a millisecond. One
# that looks on for 10 ms, as they usually do, keeps the very thread from running that it waits for where threads
# outnumber cores: beside other work an image took ten times as long, and a fit at low priority twenty times.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

if TYPE_CHECKING:
    from adkit.errors import AdkitError, DatasetError, FrameError, OptionError, TrainingError, nearest
    from adkit.hookspecs import hookimpl
    from adkit.interfaces import (
        Batches,
        Dataset,
        DatasetEntry,
        Method,
        MethodEntry,
        Metric,
        MetricEntry,
        Progress,
        Scorer,
        ScorerEntry,
        Silent,
        Stream,
        Workspace,
    )
    from adkit.options import Options
    from adkit.python import compare, evaluate, fit, load, rows
    from adkit.runs.record import FitSettings
    from adkit.stats.formatting import counted
    from adkit.types import (
        USUAL_RATE,
        Batch,
        FitReport,
        FrameRef,
        LabelledResults,
        MetricValue,
        Prediction,
        Sample,
        Split,
    )

__version__ = "0.1.0"

# What people call.
__all__ = ["FitSettings", "compare", "evaluate", "fit", "load", "rows"]
# What a plugin writes, and how it announces it.
__all__ += ["Dataset", "Method", "Metric", "Options", "Scorer"]
__all__ += ["DatasetEntry", "MethodEntry", "MetricEntry", "ScorerEntry", "hookimpl"]
# What it gets and gives.
__all__ += ["USUAL_RATE", "Batch", "Batches", "FitReport", "FrameRef", "LabelledResults", "MetricValue", "Prediction"]
__all__ += ["Progress", "Sample", "Silent", "Split", "Stream", "Workspace"]
# What goes wrong, and how it is told.
__all__ += ["AdkitError", "DatasetError", "FrameError", "OptionError", "TrainingError", "counted", "nearest"]

# What is light comes first.
_HOMES = ("errors", "types", "interfaces", "hookspecs", "options", "stats.formatting", "runs.record", "python")

if not TYPE_CHECKING:  # or a misspelt name would be anything to a type checker

    def __getattr__(name):
        """Load a public name from where it lives."""
        for home in _HOMES if name in __all__ else ():
            found = getattr(importlib.import_module(f"adkit.{home}"), name, None)
            if found is not None:
                return found
        raise AttributeError(f"module 'adkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
