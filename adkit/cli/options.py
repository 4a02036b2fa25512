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
        help="How a map becomes a score: max, mean, top1, quantile:q=0.99.",
        show_default="the method's",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help="Go on without files that cannot be read; exit 0.")]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How results are printed.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the results to this file; .csv, .jsonl and .json name the format."),
]
HeatmapsOption = Annotated[
    Path | None,
    typer.Option("--heatmaps", help="Write a picture of every image, with its heat map, into this folder."),
]
