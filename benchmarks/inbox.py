"""A watched folder: from the moment in which an image's file is complete to its row, beside scoring it alone.

python benchmarks/inbox.py [--pictures 60] [--set size=384]

Drawn parts are written into a folder as a camera's program would, one after another, each when the row of the one
before is there: opened, written in pieces, closed. The row is the journal's, on the disk. Scoring alone is
`model.score` of the same files, decoding included. The median of the first may be twice that of the second; ends with
exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from _setting import heading

from adkit.data.datasets import open_datasets
from adkit.line.hot_folder import watch_folder
from adkit.line.inbox import Inbox
from adkit.line.journal import Journal, Row
from adkit.options import split_assignments
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.synthetic.parts import write_parts
from adkit.workflows.fit import fit
from adkit.workflows.score import FittedModel, open_model

PIECE = 65536
MOST = 2.0


def main() -> None:
    """Measure, print, and end with exit code 1 where it takes too long."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--pictures", type=int, default=60)
    arguments.add_argument("--set", action="append", default=[])
    given = arguments.parse_args()
    heading("Latency of a watched folder")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        write_parts(root / "mvtec" / "washer", "washer", seed=0, train=20, good=given.pictures, each_grade=1)
        registry = load_registry()
        (dataset,) = open_datasets("mvtec:washer", root, registry)
        options = split_assignments(given.set, example="--set size=256")
        settings = FitSettings(method="patchknn", options=options, dataset=(dataset.spec,), root=place, device="cpu")
        model = open_model(fit(settings, dataset, root / "runs", registry), registry, device="cpu")
        files = [sample.frame.path for sample in dataset.samples("test") if not sample.anomalous]
        alone_ms = [_alone_ms(model, file) for file in files]
        watched_ms = _watched_ms(model, files, root / "inbox")
    alone, watched = statistics.median(alone_ms), statistics.median(watched_ms)
    slowest = sorted(watched_ms)[int(0.95 * len(watched_ms))]
    print("| | median | 95 % within |\n|---|---:|---:|")
    print(f"| scored alone | {alone:.0f} ms | {sorted(alone_ms)[int(0.95 * len(alone_ms))]:.0f} ms |")
    print(f"| from file to row | {watched:.0f} ms | {slowest:.0f} ms |")
    print(f"\n{watched / alone:.2f} times as long; at most {MOST:g} is wanted")
    sys.exit(watched > MOST * alone)


def _alone_ms(model: FittedModel, file: Path) -> float:
    start = time.perf_counter()
    list(model.score([file]))
    return 1000 * (time.perf_counter() - start)


def _watched_ms(model: FittedModel, files: list[Path], inbox: Path) -> list[float]:
    inbox.mkdir()
    stop, told = threading.Event(), threading.Event()
    ends: dict[str, float] = {}
    taken = []

    def note(row: Row) -> None:
        ends[Path(row["path"]).name] = time.perf_counter()
        told.set()

    with Journal(inbox / ".adkit" / "journal.jsonl") as journal:
        watching = threading.Thread(target=watch_folder, args=(model, Inbox(inbox, 0.5), journal, stop, note))
        watching.start()
        for number, file in enumerate(files):
            content = file.read_bytes()
            told.clear()
            with (inbox / f"{number:04d}.png").open("wb", buffering=0) as written:
                for start in range(0, len(content), PIECE):
                    written.write(content[start : start + PIECE])
            complete = time.perf_counter()
            told.wait()
            taken.append(1000 * (ends[f"{number:04d}.png"] - complete))
            time.sleep(0.05)
        stop.set()
        watching.join()
    return taken


if __name__ == "__main__":
    main()
