"""What people call from a notebook or a program of their own: fit, load, evaluate, compare, rows."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from adkit.comparison.compare import compare as compare_candidates
from adkit.comparison.documents import metric_rows
from adkit.comparison.figures import Comparison
from adkit.comparison.grid import candidates_of
from adkit.data.datasets import open_datasets
from adkit.errors import OptionError
from adkit.evaluation.evaluate import Evaluation
from adkit.evaluation.evaluate import evaluate as evaluate_run
from adkit.interfaces import SILENT, Progress
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run, default_runs_root, find_run, open_run
from adkit.workflows.fit import check_settings
from adkit.workflows.fit import fit as fit_run
from adkit.workflows.score import FittedModel, FrameResult, Workplace, open_model

Place = str | Path | None
"""A path; None where it is usually."""


def fit(method: str, dataset: str, *, runs: Place = None, progress: Progress = SILENT, **settings: Any) -> Run:
    """Learn from one dataset such as "folder:parts" and write a run below `runs`; see `adkit.FitSettings` for settings.

    Raises AdkitError for whatever can be fixed; then nothing was written.
    """
    registry, asked = load_registry(), FitSettings(method=method, dataset=(dataset,), **settings)
    check_settings(asked, registry)
    found = open_datasets(dataset, Path(asked.root) if asked.root else None, registry)
    if len(found) > 1:
        hint = "fit them one after another"
        raise OptionError(f"{dataset} means {len(found)} datasets, and a run learns from one", hint=hint)
    return fit_run(asked, found[0], _root(runs), registry, progress)


def load(
    run: str | Path | Run = "latest", *, runs: Place = None, scorer: str | None = None, device: str = "auto"
) -> FittedModel:
    """Open a run by "latest", its id, its name or its path, ready to score; raises RunError where there is none."""
    return open_model(_found(run, runs), load_registry(), scorer=scorer, device=device)


def evaluate(
    run: str | Path | Run = "latest", *, runs: Place = None, root: Place = None, progress: Progress = SILENT
) -> Evaluation:
    """Judge a run on its dataset's test split; `root` is the folder that holds the dataset, where it was moved."""
    return evaluate_run(_found(run, runs), Workplace(load_registry(), Path(root) if root else None, progress=progress))


def compare(
    methods: str | Sequence[str],
    datasets: str | Sequence[str],
    *,
    seeds: int = 3,
    output: str | Path = "comparison",
    root: Place = None,
    max_false_alarms: str | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Comparison:
    """Fit and judge every method on every dataset with so many seeds; finished fits in `output` are used again."""
    registry = load_registry()
    specs = [datasets] if isinstance(datasets, str) else datasets
    found = [one for spec in specs for one in open_datasets(spec, Path(root) if root else None, registry)]
    asked = candidates_of(methods if isinstance(methods, str) else ",".join(methods))
    workplace = Workplace(registry, device=device, progress=progress)
    return compare_candidates(asked, found, range(seeds), Path(output), workplace, max_false_alarms=max_false_alarms)


def rows(results: Iterable[FrameResult] | Comparison) -> list[dict[str, Any]]:
    """Give results, or a comparison's figures, as dictionaries that pandas.DataFrame takes."""
    if isinstance(results, Comparison):
        return metric_rows(results)
    return [result.as_dict() for result in results]


def _found(run: str | Path | Run, runs: Place) -> Run:
    return open_run(run.folder) if isinstance(run, Run) else find_run(_root(runs), str(run))  # it may be gone by now


def _root(runs: Place) -> Path:
    return default_runs_root() if runs is None else Path(runs)
