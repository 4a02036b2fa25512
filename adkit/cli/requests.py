"""What `fit` is asked for: read from the command line, or taken from a fit that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adkit.errors import OptionError

if TYPE_CHECKING:
    from adkit.interfaces import Dataset
    from adkit.registry import Registry
    from adkit.runs.record import FitSettings
    from adkit.runs.unfinished import Unfinished

_FREE = {"resume", "runs", "device", "format_"}
"""Options that do not change what is learned."""


def settings_of(parameters: Mapping[str, Any]) -> FitSettings:
    """Read the settings from the parsed command line of `fit`: the inverse of `FitSettings.command_line`.

    Raises OptionError for a method or dataset that is not given, and for what is out of bounds.
    """
    from adkit.options import split_assignments
    from adkit.runs.record import FitSettings

    for name in ("method", "dataset"):
        if not parameters[name]:
            raise OptionError(
                f"--{name} is not given", hint="for example: adkit fit --method patchknn --dataset folder:good_parts/"
            )
    named = {name: parameters[name] for name in FitSettings.model_fields if parameters.get(name) is not None}
    options = split_assignments(parameters["settings"] or [], example="--set coreset_ratio=0.05")
    return FitSettings(**{**named, "options": options, "root": named.get("root") and str(named["root"])})


def grouped(datasets: list[Dataset], joint: bool) -> list[list[Dataset]]:
    """Put together those that are learned from together; raises OptionError for a joint fit of one category."""
    if not joint:
        return [[dataset] for dataset in datasets]
    if len(datasets) == 1:
        raise OptionError(
            f"--joint learns from several categories, and {datasets[0].spec} is one",
            hint="leave --joint out, or name more: --dataset mvtec:bottle,screw",
        )
    return [datasets]


def resumed(
    name: str, context: typer.Context, runs_root: Path, registry: Registry
) -> tuple[Unfinished, FitSettings, list[Dataset]]:
    """Find the unfinished fit of that name, what it was asked for, and its data.

    Raises AdkitError when it or its data is not there, when it still runs, and when the command line says again what
    it has settled already.
    """
    from adkit.data.datasets import open_datasets
    from adkit.runs.unfinished import find_unfinished

    given = {option for option in context.params if _is_given(context, option)}
    if again := [option for option in context.params if option in given - _FREE]:
        option = {"settings": "--set"}.get(again[0], "--" + again[0].replace("_", "-"))
        raise OptionError(
            f"--resume goes on with the options that the fit began with, and {option} was given",
            hint=f"leave {option} out, or fit anew without --resume",
        )
    begun = find_unfinished(runs_root, name)
    device = {"device": context.params["device"]} if "device" in given else {}
    datasets = [
        dataset
        for category in begun.categories
        for dataset in open_datasets(category.dataset, Path(category.root) if category.root else None, registry)
    ]
    return begun, begun.settings.model_copy(update=device), datasets


def refuse_given(context: typer.Context, options: Mapping[str, str], why: str) -> None:
    """Raises OptionError for the first of these options, by parameter, that the command line names."""
    for parameter, option in options.items():
        if _is_given(context, parameter):
            raise OptionError(f"{option} {why}", hint=f"leave {option} out")


def _is_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
