"""Finds plugins. A broken one is set aside and named; everything else works."""

import importlib
import os
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import pluggy

from adkit import hookspecs
from adkit.containment import plugin_code
from adkit.errors import PluginError, nearest
from adkit.interfaces import DatasetEntry, Entry, MethodEntry, MetricEntry, ScorerEntry

GROUP = "adkit"
EntryType = TypeVar("EntryType", bound=Entry[Any])


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of the group: where it comes from, and why it is set aside if it is."""

    name: str
    module: str
    distribution: str
    version: str
    problem: str | None = None

    @property
    def origin(self) -> str:
        """Return the plugin and the distribution that brought it: "patchknn of adkit 0.1.0"."""
        return f"{self.name} of {self.distribution} {self.version}".rstrip()


@dataclass
class Catalogue(Generic[EntryType]):
    """The entries of one sort by name, each with the plugins that claim the name."""

    sort: str
    entries: dict[str, EntryType] = field(default_factory=dict)
    claims: dict[str, list[Plugin]] = field(default_factory=dict)

    def add(self, entry: EntryType, plugin: Plugin) -> None:
        """Take an entry; a second one of the same name is only remembered."""
        self.entries.setdefault(entry.name, entry if entry.origin else replace(entry, origin=plugin.origin))
        self.claims.setdefault(entry.name, []).append(plugin)

    def names(self) -> list[str]:
        """Return all names in alphabetical order."""
        return sorted(self.entries)

    def get(self, name: str) -> EntryType:
        """Return the entry of that name; raise PluginError when there is none, or two."""
        claims = self._claims_of(name)
        if len(claims) > 1:
            origins = " and ".join(plugin.origin for plugin in claims)
            hint = "uninstall one of them with pip; every other name still works"
            raise PluginError(f"two plugins bring a {self.sort} named {name!r}: {origins}", hint=hint)
        return self.entries[name]

    def origin(self, name: str) -> Plugin:
        """Return the plugin that brings the entry of that name, the first of two; raise PluginError for none."""
        return self._claims_of(name)[0]

    def _claims_of(self, name: str) -> list[Plugin]:
        if name not in self.entries:
            raise PluginError(f"there is no {self.sort} named {name!r}", hint=nearest(name, self.entries))
        return self.claims[name]


@dataclass
class Registry:
    """Everything that the installed plugins offer."""

    plugins: list[Plugin] = field(default_factory=list)
    methods: Catalogue[MethodEntry] = field(default_factory=lambda: Catalogue("method"))
    datasets: Catalogue[DatasetEntry] = field(default_factory=lambda: Catalogue("dataset"))
    scorers: Catalogue[ScorerEntry] = field(default_factory=lambda: Catalogue("scorer"))
    metrics: Catalogue[MetricEntry] = field(default_factory=lambda: Catalogue("metric"))

    @property
    def broken(self) -> list[Plugin]:
        """Return the plugins that were set aside."""
        return [plugin for plugin in self.plugins if plugin.problem]


def load_registry(points: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every plugin that is installed or a file (or of `points`, in tests), each on its own: none harms another."""
    found = [*entry_points(group=GROUP), *_files()] if points is None else points
    registry = Registry()
    named = cache(_named)  # its file is parsed whole each time
    for point in sorted(found, key=lambda point: (point.name, point.value)):
        brought_by = _file_named(point.value) if point.value.endswith(".py") else named(point.dist)
        registry.plugins.append(_load(Plugin(point.name, point.value, *brought_by), registry))
    return registry


def _files() -> list[EntryPoint]:
    """Return an entry point for each file that $ADKIT_PLUGINS names, as PATH names folders; its path is the module."""
    named = filter(None, os.environ.get("ADKIT_PLUGINS", "").split(os.pathsep))
    files = dict.fromkeys(Path(file).resolve() for file in named)
    return [EntryPoint(file.stem, str(file), GROUP) for file in files]


def _module(name: str) -> ModuleType:
    """Import a module, or a file as one of its name, so that `target="NAME:Class"` finds it."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    stem = Path(name).stem
    imported = sys.modules.get(stem)
    spec = imported.__spec__ if imported else find_spec(stem)  # it may lie beside the script that is run
    if (imported or spec) and Path((spec and spec.origin) or "").resolve() != Path(name):
        raise ImportError(f"there is another module named {stem}: rename {name}")
    if imported:
        return imported
    spec = spec_from_file_location(stem, name)
    assert spec is not None
    assert spec.loader is not None  # of every file that ends so
    sys.modules[stem] = module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[stem]
        raise
    return module


def _named(distribution: Distribution | None) -> tuple[str, str]:
    return (distribution.name, distribution.version) if distribution else ("(not installed)", "")


@cache  # once imported, a file's code stays what it was, whatever becomes of the file
def _file_named(file: str) -> tuple[str, str]:
    """Return a file's name and what tells its versions apart: results of one are not another's."""
    try:
        return Path(file).name, sha256(Path(file).read_bytes()).hexdigest()[:8]
    except OSError:
        return Path(file).name, ""


def _load(plugin: Plugin, registry: Registry) -> Plugin:
    # A manager per plugin: pluggy's checks then speak of this plugin only, and nothing needs undoing.
    manager = pluggy.PluginManager("adkit")
    manager.add_hookspecs(hookspecs)
    catalogues: tuple[tuple[pluggy.HookCaller, type[Entry[Any]], Catalogue[Any]], ...] = (
        (manager.hook.adkit_methods, MethodEntry, registry.methods),
        (manager.hook.adkit_datasets, DatasetEntry, registry.datasets),
        (manager.hook.adkit_scorers, ScorerEntry, registry.scorers),
        (manager.hook.adkit_metrics, MetricEntry, registry.metrics),
    )
    accepted: list[tuple[Catalogue[Any], Entry[Any]]] = []
    try:
        with plugin_code(plugin.origin):
            module = _module(plugin.module)
            manager.register(module, plugin.name)
            manager.check_pending()  # a misspelt hook is an error, not silence
            if not manager.get_hookcallers(module):
                raise TypeError("it implements no hook of adkit (is @hookimpl missing?)")
            for hook, kind, catalogue in catalogues:
                results = hook()  # of this one plugin; pluggy leaves out None
                if hook.get_hookimpls() and not results:
                    raise TypeError(f"{hook.name} must return {kind.__name__} records, got None")
                for entry in (entry for entries in results for entry in entries):
                    if not (isinstance(entry, kind) and isinstance(entry.name, str)):
                        raise TypeError(f"{hook.name} must return {kind.__name__} records, got {entry!r}")
                    accepted.append((catalogue, replace(entry, origin=plugin.origin)))
    # A plugin may fail in any way, sys.exit() at import included; only Ctrl-C goes through.
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if "unexpected keyword argument 'load" in str(error):  # of the contract before the first release
            error = TypeError('an entry names its class as target="package.module:Class"')
        return replace(plugin, problem=textwrap.shorten(f"{type(error).__name__}: {error}", width=400))  # in one line
    for catalogue, entry in accepted:
        catalogue.add(entry, plugin)
    return plugin
