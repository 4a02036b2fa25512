"""The four hooks: the whole contract between adkit and its plugins on one screen.

A plugin is a module that an entry point of the group `adkit` names. It implements the hooks it needs:

    from adkit import MethodEntry, hookimpl

    @hookimpl
    def adkit_methods():
        return [MethodEntry("brightness", "how bright the part is", target="adkit_brightness.method:Brightness")]
"""

from collections.abc import Iterable

import pluggy

from adkit.interfaces import DatasetEntry, MethodEntry, MetricEntry, ScorerEntry

hookspec = pluggy.HookspecMarker("adkit")
hookimpl = pluggy.HookimplMarker("adkit")
"""Marks a function of a plugin as the implementation of one of these hooks."""


@hookspec
def adkit_methods() -> Iterable[MethodEntry]:
    """Announce the methods that this plugin brings."""
    return []


@hookspec
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce the datasets that this plugin brings."""
    return []


@hookspec
def adkit_scorers() -> Iterable[ScorerEntry]:
    """Announce the scorers that this plugin brings."""
    return []


@hookspec
def adkit_metrics() -> Iterable[MetricEntry]:
    """Announce the metrics that this plugin brings."""
    return []
