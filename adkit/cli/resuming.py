"""`adkit fit --resume`: the requests of a fit that was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from adkit.registry import Registry
    from adkit.unfinished import Unfinished
    from adkit.workflows import FitRequest

_FREE = {"resume", "runs", "device", "format_"}
"""Options that do not change what is learned."""


def named_again(context: typer.Context) -> str | None:
    """The first option on the command line that an unfinished fit has settled already; None: there is none."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in _FREE and source is not None and source.name == "COMMANDLINE":
            return {"settings": "--set"}.get(name, "--" + name.replace("_", "-"))
    return None


def resumed(name: str, runs_root: Path, registry: Registry, device: str) -> tuple[Unfinished, list[FitRequest]]:
    """The unfinished fit of that name and what it was asked for; raises AdkitError when it or its data is not there."""
    from adkit.sources import open_datasets
    from adkit.unfinished import find_unfinished
    from adkit.workflows import FitRequest

    begun = find_unfinished(runs_root, name)
    return begun, [
        FitRequest(
            method=begun.method,
            dataset=dataset,
            runs_root=runs_root,
            options=begun.options,
            scorer=begun.scorer,
            seed=begun.seed,
            device=device,
            rule=begun.rule,
            skip_bad=begun.skip_bad,
            few=begun.few,
        )
        for category in begun.categories
        for dataset in open_datasets(category.dataset, Path(category.root) if category.root else None, registry)
    ]
