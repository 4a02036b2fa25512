"""What `fit` is asked for: checked, grouped, or taken from a fit that was broken off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from adkit.errors import OptionError

if TYPE_CHECKING:
    from adkit.registry import Registry
    from adkit.runs.unfinished import Unfinished
    from adkit.workflows.fit import FitRequest

_FREE = {"resume", "runs", "device", "format_"}
"""Options that do not change what is learned."""


def require_named(method: str | None, dataset: list[str] | None) -> tuple[str, list[str]]:
    """Both, which a new fit needs; raises OptionError naming the one that is not given."""
    if method is None or not dataset:
        raise OptionError(
            f"{'--method' if method is None else '--dataset'} is not given",
            hint="for example: adkit fit --method patchknn --dataset folder:good_parts/",
        )
    return method, dataset


def grouped(requests: list[FitRequest], joint: bool) -> list[list[FitRequest]]:
    """Those that are learned from together; raises OptionError for a joint fit of one category."""
    if not joint:
        return [[request] for request in requests]
    if len(requests) == 1:
        raise OptionError(
            f"--joint learns from several categories, and {requests[0].dataset.spec} is one",
            hint="leave --joint out, or name more: --dataset mvtec:bottle,screw",
        )
    return [requests]


def resumed(
    name: str, context: typer.Context, runs_root: Path, registry: Registry
) -> tuple[Unfinished, list[FitRequest]]:
    """The unfinished fit of that name and what it was asked for.

    Raises AdkitError when it or its data is not there, when it still runs, and when the command line says again what
    it has settled already.
    """
    from adkit.data.datasets import open_datasets
    from adkit.runs.unfinished import find_unfinished
    from adkit.workflows.fit import FitRequest

    given = {option for option in context.params if _is_given(context, option)}
    if again := [option for option in context.params if option in given - _FREE]:
        option = {"settings": "--set"}.get(again[0], "--" + again[0].replace("_", "-"))
        raise OptionError(
            f"--resume goes on with the options that the fit began with, and {option} was given",
            hint=f"leave {option} out, or fit anew without --resume",
        )
    begun = find_unfinished(runs_root, name)
    return begun, [
        FitRequest(
            method=begun.method,
            dataset=dataset,
            runs_root=runs_root,
            options=begun.options,
            scorer=begun.scorer,
            seed=begun.seed,
            device=context.params["device"] if "device" in given else begun.device,
            rule=begun.rule,
            skip_bad=begun.skip_bad,
            few=begun.few,
            every=begun.every,
            smoothing_s=begun.smoothing_s,
        )
        for category in begun.categories
        for dataset in open_datasets(category.dataset, Path(category.root) if category.root else None, registry)
    ]


def refuse_given(context: typer.Context, options: Mapping[str, str], why: str) -> None:
    """Raises OptionError for the first of these options, by parameter, that the command line names."""
    for parameter, option in options.items():
        if _is_given(context, parameter):
            raise OptionError(f"{option} {why}", hint=f"leave {option} out")


def _is_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
