"""What an export decides beside what adkit decides, for every method that can leave, as a Markdown table.

python benchmarks/parity.py [--methods patchknn,ae] [--datasets mvtec:bottle] [--few 24] [--set size=256]

Each method learns from a few images, enough for what counts of the image as a whole; test images go through
`adkit`, and through the exported score.py as a program of its own. Then both judge the same files in turns, from file
to score. Ends with exit code 1 where a decision differs.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from _setting import data_root, heading, in_turns, median_ratio

from adkit.data.datasets import open_datasets
from adkit.data.frame_source import frames_of
from adkit.export.export import export
from adkit.export.score import Model
from adkit.interfaces import Dataset
from adkit.options import options_of, split_assignments
from adkit.registry import Registry, load_registry
from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit
from adkit.workflows.score import Workplace, open_model

METHODS = "patchknn,padim,subspace,knn,dfr,ae,unet"
DATASETS = "mvtec:bottle,mvtec:screw,mvtec:transistor,folder:folder/dobot_cubes"
ROUNDS, TIMED = 5, 4


def main() -> None:
    """Fit, export and judge every method on every dataset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--datasets", default=DATASETS)
    parser.add_argument("--few", type=int, default=24)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument(
        "--set", action="append", default=["epochs=2", "registration=off"], help="for those that have it"
    )
    given = parser.parse_args()
    heading(f"parity: each learned from {given.few} images, judged {given.pictures} test images")
    registry, root, flipped = load_registry(), data_root(), 0
    assigned = split_assignments(given.set, example="--set epochs=2")
    print("| method | dataset | other decisions | anomalous | largest difference | export's time / adkit's |")
    print("|---|---|---:|---:|---:|---:|")
    for spec in given.datasets.split(","):
        name, _, place = spec.partition(":")
        (dataset,) = open_datasets(f"folder:{root / place}" if name == "folder" else spec, root, registry)
        for method in given.methods.split(","):
            known = options_of(registry.methods.get(method).load()).model_fields
            options = {name: value for name, value in assigned.items() if name in known}
            settings = FitSettings(method=method, options=options, few=given.few, device="cpu")
            with tempfile.TemporaryDirectory() as folder:
                flipped += _row(settings, dataset, given.pictures, registry, Path(folder))
    sys.exit(flipped > 0)


def _row(settings: FitSettings, dataset: Dataset, count: int, registry: Registry, folder: Path) -> int:
    """Print a row, and return how many decisions differ."""
    run = fit(settings, dataset, folder / "runs", registry)
    export(run, Workplace(registry), folder / "out")
    tests = dataset.samples("test")
    samples = [tests[number * len(tests) // count] for number in range(count)]
    files = [sample.frame.path for sample in samples]
    model, exported = open_model(run, registry, device="cpu"), Model(folder / "out")
    own = list(model.score(files))
    command = [sys.executable, folder / "out" / "score.py", *files]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(printed.splitlines()))
    pairs = list(zip(own, rows, strict=True))
    flipped = sum(one.anomalous != (row["decision"] == "anomalous") for one, row in pairs)
    largest = max(abs(one.score - float(row["score"])) for one, row in pairs) / abs(model.threshold.value)

    def by_adkit() -> None:
        list(model.stream(frames_of(samples[:TIMED], model.view)))

    times = in_turns([lambda: [exported.judge(file) for file in files[:TIMED]], by_adkit], ROUNDS)
    print(
        f"| {settings.method} | {dataset.spec.rpartition('/')[2]} | {flipped} | {sum(one.anomalous for one in own)} "
        f"of {count} | {largest:.1g} | {median_ratio(*times):.2f} |",
        flush=True,
    )
    return flipped


if __name__ == "__main__":
    main()
