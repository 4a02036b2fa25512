"""Running a comparison: every cell that is not there yet, then the statistics over all of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from adkit.comparison.cells import CELLS, Asked, Category, Cell, cell_folder, cell_key, cell_of, compute_cell, load_cell
from adkit.comparison.figures import Comparison, compare_cells
from adkit.comparison.grid import Candidate
from adkit.errors import SKIPPING, AdkitError, DatasetError, OptionError, PluginError, RunError, StorageError
from adkit.evaluation.evaluate import STEPS, evaluate
from adkit.files.atomic import left_of, storage_faults
from adkit.interfaces import SILENT, Dataset
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.stats.segments import grouped
from adkit.workflows.engine import LOCAL, each, require_engine
from adkit.workflows.fit import check_settings
from adkit.workflows.score import Workplace

Note = Callable[[str], None]
Place = tuple[str, str, int]
"""Category, candidate and seed of a cell."""


def compare(
    candidates: Sequence[Candidate],
    datasets: Sequence[Dataset],
    seeds: Sequence[int],
    output: Path,
    workplace: Workplace,
    *,
    max_false_alarms: str | None = None,
    engine: str = LOCAL,
    note: Note = lambda _: None,
) -> Comparison:
    """Fit and judge every candidate on every dataset with every seed, and compare them.

    Cells are computed where the `engine` says (`adkit.workflows.engine`), but for those that lie in `output`, finished.
    What a candidate cannot do on a category (too few images, say, or a bug of its plugin) leaves that place empty, with
    the reason; adkit's own bugs and a full disk end the comparison, and finished cells stay. `note` is told in a
    sentence what is taken up again and what failed. Raises AdkitError for settings and data that the user can fix,
    before anything is fitted.
    """
    registry, progress = workplace.registry, workplace.progress
    for candidate in candidates:
        check_settings(candidate.asked(0, max_false_alarms, workplace.device), registry)
    require_engine(engine)
    specs = [dataset.spec for dataset in datasets]
    _require_once(specs, seeds)
    with storage_faults(output):
        output.mkdir(parents=True, exist_ok=True)
    with progress.plan([("reading the data", 1), ("comparison", 50)]):
        categories = []
        with progress.task("reading the data", len(datasets)) as advance:
            for dataset in datasets:
                categories.append(Category.of(dataset))
                advance(1)
        still = _drawing_nothing(candidates, registry)
        if len(seeds) > 1 and still:
            note(f"one fit counts for all seeds where nothing is drawn at random: {', '.join(still)}")
        # Seeds are outermost: what an interruption leaves is as balanced as may be, and the time left is known early.
        turns = product(seeds, categories, candidates)
        cells_asked = (Asked(candidate, category, seed, max_false_alarms) for seed, category, candidate in turns)
        places = {one.place: one._replace(seed=0) if one.candidate.name in still else one for one in cells_asked}
        cells, folders = _finished(places, registry, output, note)
        failures: dict[Place, str] = {}
        there = workplace if engine == LOCAL else replace(workplace, progress=SILENT)
        work = partial(compute_cell, workplace=there, root=output)
        todo = {place: folders[place] for place in places if place not in cells}
        with progress.task("comparison", len(todo)) as advance:
            for place, cell in _each_place(engine, work, places, todo, gpu=workplace.device.startswith("cuda")):
                if isinstance(cell, StorageError):
                    raise cell
                if isinstance(cell, AdkitError):
                    failures[place], hint = cell.message, cell.hint.removesuffix(SKIPPING)
                    note(f"{place[1]} on {place[0]}, seed {place[2]}: {cell.message} ({hint})")
                else:
                    cells[place] = cell
                advance(1)
    result = compare_cells(candidates, specs, seeds, list(cells.values()), failures, _lower_is_better(registry))
    if not result.runs:
        for folder in (output / CELLS, output):
            with suppress(OSError):  # another comparison's cells stay
                folder.rmdir()
        raise DatasetError("no candidate has a category with every seed computed", hint="the reasons stand above")
    return result


def _drawing_nothing(candidates: Sequence[Candidate], registry: Registry) -> list[str]:
    """Name the candidates that are the same with any seed."""
    return [one.name for one in candidates if not (one.settings.few or registry.methods.get(one.settings.method).draws)]


def _each_place(
    engine: str, work: Callable[[Asked], Cell], places: Mapping[Place, Asked], todo: Mapping[Place, Path], *, gpu: bool
) -> Iterator[tuple[Place, Cell | AdkitError]]:
    """Walk the places that are to be computed; those of one folder are one cell, by other names or seeds."""
    alike = grouped(todo, todo.__getitem__)
    coming = each(engine, work, (places[same[0]] for same in alike.values()), gpu=gpu)
    for same, cell in zip(alike.values(), coming, strict=True):
        for place in same:
            yield place, cell if isinstance(cell, AdkitError) else replace(cell, candidate=place[1], seed=place[2])


def _finished(
    places: Mapping[Place, Asked], registry: Registry, output: Path, note: Note
) -> tuple[dict[Place, Cell], dict[Place, Path]]:
    """Return the cells that need no computing, and the folders of all; tell of them."""
    cells, folders = {}, {}
    for place, asked in places.items():
        folder = folders[place] = cell_folder(output, cell_key(asked, registry))
        if found := load_cell(output, folder, asked.candidate.name):
            cells[place] = replace(found, seed=place[2])
    for folder in dict.fromkeys(folders[place] for place in places if place not in cells):  # seeds may share one
        if folder.exists() or left_of(folder):
            note(f"the cell {folder.name} is not whole: it is computed again")
    if cells:
        note(f"{len(cells)} of {len(places)} cells were finished before, and are taken as they are")
    return cells, folders


def _require_once(specs: Sequence[str], seeds: Sequence[int]) -> None:
    """Raise AdkitError where a category or a seed is named twice."""
    if twice := [spec for spec in specs if specs.count(spec) > 1]:
        raise DatasetError(f"{twice[0]} is named twice", hint="name each category once")
    if len(set(seeds)) < len(seeds) or not seeds:
        what = "a seed is named twice" if seeds else "there is no seed"
        raise OptionError(what, hint="each seed counts once; one at least")


def compare_runs(runs: Sequence[Run], workplace: Workplace) -> Comparison:
    """Compare runs that were fitted before, each a candidate; raises RunError where they are not of the same data."""
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise RunError("a run is named twice", hint="name each run once")
    for run in runs[1:]:
        if run.record.dataset != runs[0].record.dataset:
            raise RunError(
                f"runs of different data cannot be compared: {runs[0].record.id} is of {runs[0].record.dataset}, "
                f"{run.record.id} of {run.record.dataset}",
                hint="compare methods over several categories with: adkit compare --methods A,B --dataset C,D",
            )
    cells = []
    # Runs in different folders may have one id: it is unique in its own folder only.
    ids = Counter(run.record.id for run in runs)
    names = [run.record.id if ids[run.record.id] == 1 else str(run.folder) for run in runs]
    progress = workplace.progress
    with progress.task("runs", len(runs)) as advance:
        for name, run in zip(names, runs, strict=True):
            with progress.plan(STEPS):
                evaluation = evaluate(run, workplace)
            cells.append(cell_of(name, run, evaluation, workplace.model(run), 0))
            advance(1)
    candidates = [Candidate(name, run.record.settings) for name, run in zip(names, runs, strict=True)]
    seeds = {run.record.settings.seed for run in runs}
    return compare_cells(
        candidates, [runs[0].record.dataset], list(seeds), cells, {}, _lower_is_better(workplace.registry)
    )


def _lower_is_better(registry: Registry) -> set[str]:
    """Return the metrics of which that holds; those that two plugins claim have no figures."""
    found = set()
    for name in registry.metrics.names():
        with suppress(PluginError):
            if not registry.metrics.get(name).load().higher_is_better:
                found.add(name)
    return found
