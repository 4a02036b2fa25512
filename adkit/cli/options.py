"""The options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"
    json = "json"


DatasetOption = Annotated[
    str,
    typer.Option("--dataset", "-d", help="What to take, as NAME:SELECTION: mvtec:bottle, folder:./parts, demo:washer."),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        help="Folder that holds the datasets. A folder:PATH is also found from here, and below $ADKIT_DATA.",
        show_default="$ADKIT_DATA, else ./data and the current folder",
    ),
]
RunsOption = Annotated[
    Path | None,
    typer.Option("--runs", help="Folder that holds the runs.", show_default="$ADKIT_RUNS or ./runs"),
]
RunOption = Annotated[str, typer.Option("--run", "-r", help="A run: latest, its id, or its path.")]
ScorerOption = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        help="How a map becomes a score: max, mean, top1, top5, quantile:q=0.99.",
        show_default="the method's",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help="Go on without files that cannot be read; exit 0.")]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How results are printed.")]
MaxFalseAlarmsOption = Annotated[
    str | None,
    typer.Option(
        "--max-false-alarms",
        metavar="RATE",
        help="The share of good parts that may be flagged, such as 1%; for videos also how often, such as 6/h. Refused "
        "where the good images or clips are too few.",
        show_default="1%, or as few as the images support; calibrate: the rule that the run has",
    ),
]
CertainOption = Annotated[
    bool,
    typer.Option(
        "--certain", help="Keep --max-false-alarms with 95 % certainty, not only on average: needs more images."
    ),
]
PercentileOption = Annotated[
    float | None,
    typer.Option(
        "--percentile", help="Set the threshold at this percentile of the normal scores: no promise, a habit."
    ),
]
NormalOption = Annotated[
    list[str] | None,
    typer.Option("--normal", "-n", metavar="DIR", help="Images of good parts: a folder, a file or 'glob/*.png'."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the results to this file; .csv, .jsonl and .json name the format."),
]
HeatmapsOption = Annotated[
    Path | None,
    typer.Option("--heatmaps", help="Write a picture of every image, with its heat map, into this folder."),
]
