"""What people call from a notebook or a program of their own: fit, load, evaluate, compare, rows."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adkit.comparison.compare import compare as compare_candidates
from adkit.comparison.documents import metric_rows
from adkit.comparison.figures import Comparison
from adkit.comparison.grid import DEFAULT_SEEDS, candidates_of, plan_of
from adkit.data.datasets import open_datasets
from adkit.errors import OptionError, brief
from adkit.evaluation.evaluate import Evaluation
from adkit.evaluation.evaluate import evaluate as evaluate_run
from adkit.evaluation.tables import sample_rows
from adkit.interfaces import SILENT, Progress
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run, default_runs_root, find_run, open_run
from adkit.workflows.fit import check_settings
from adkit.workflows.fit import fit as fit_run
from adkit.workflows.score import FittedModel, FrameResult, Workplace, open_model

_JOINT = "adkit fit --joint --dataset A --dataset B"
Place = str | Path | None
"""A path; None where it is usually."""


def fit(method: str, dataset: str | Path, *, runs: Place = None, progress: Progress = SILENT, **settings: Any) -> Run:
    """Learn from one dataset such as "folder:parts", or a folder by its path, and write a run below `runs`.

    `settings` are those of `adkit.FitSettings`. Raises AdkitError for whatever can be fixed; then nothing was written.
    """
    spec = _spec(dataset)
    if settings.get("joint"):
        raise OptionError("joint is refused: fit learns from one dataset", hint=f"for several: {_JOINT}")
    registry, asked = load_registry(), FitSettings(method=method, dataset=(spec,), **settings)
    check_settings(asked, registry)
    found = open_datasets(spec, Path(asked.root) if asked.root else None, registry)
    if len(found) > 1:
        hint = f"fit them one after another, or all at once: {_JOINT}"
        raise OptionError(f"{spec} means {len(found)} datasets, and a run learns from one", hint=hint)
    return fit_run(asked, found[0], _root(runs), registry, progress)


def load(
    run: str | Path | Run | FittedModel = "latest",
    *,
    runs: Place = None,
    scorer: str | None = None,
    device: str = "auto",
) -> FittedModel:
    """Open a run by "latest", its id, its name or its path, ready to score; raises RunError where there is none."""
    return open_model(_found(run, runs), load_registry(), scorer=scorer, device=device)


def evaluate(
    run: str | Path | Run | FittedModel = "latest",
    *,
    runs: Place = None,
    root: Place = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Judge a run on its dataset's test split; `root` is the folder that holds the dataset, where it was moved."""
    return evaluate_run(_found(run, runs), Workplace(load_registry(), Path(root) if root else None, progress=progress))


def compare(
    methods: str | Sequence[str] | Mapping[str, Mapping[str, Any]],
    datasets: str | Path | Sequence[str | Path],
    *,
    seeds: int | Sequence[int] = DEFAULT_SEEDS,
    output: str | Path = "comparison",
    root: Place = None,
    max_false_alarms: str | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Comparison:
    """Fit and judge every method on every dataset with so many seeds; finished fits in `output` are used again.

    With settings, they are named as in a grid file: `{"small": {"method": "knn", "options": {"size": 64}}}`.
    """
    if not isinstance(methods, Mapping):
        names = methods if isinstance(methods, str) else ",".join(map(str, methods))
        methods = {one.name: {} for one in candidates_of(names)}
    listed = [_spec(one) for one in ([datasets] if isinstance(datasets, str | Path) else datasets)]
    of_seeds = list(seeds) if isinstance(seeds, Iterable) else seeds
    plan = plan_of({"candidates": methods, "datasets": listed, "seeds": of_seeds}, "compare")
    registry = load_registry()
    found = [one for spec in listed for one in open_datasets(spec, Path(root) if root else None, registry)]
    workplace = Workplace(registry, device=device, progress=progress)
    asked, turns = plan.candidates, plan.seeds or ()
    return compare_candidates(asked, found, turns, Path(output), workplace, max_false_alarms=max_false_alarms)


def rows(results: Iterable[FrameResult] | Evaluation | Comparison) -> list[dict[str, Any]]:
    """Give results, a test split's, or a comparison's figures, as dictionaries that pandas.DataFrame takes."""
    if isinstance(results, Comparison):
        return metric_rows(results)
    if isinstance(results, Evaluation):
        return sample_rows(results)
    return [result.as_dict() for result in results]


def _spec(dataset: Any) -> str:
    if not isinstance(dataset, str | Path):
        told = f"the dataset is {brief(dataset)}; one text, or one pathlib.Path of a folder, was expected"
        raise OptionError(told, hint=f'for example "folder:parts"; to learn from several: {_JOINT}')
    return dataset if isinstance(dataset, str) else f"folder:{dataset}"


def _found(run: str | Path | Run | FittedModel, runs: Place) -> Run:
    run = run.run if isinstance(run, FittedModel) else run
    return open_run(run.folder) if isinstance(run, Run) else find_run(_root(runs), str(run))  # it may be gone by now


def _root(runs: Place) -> Path:
    return default_runs_root() if runs is None else Path(runs)
