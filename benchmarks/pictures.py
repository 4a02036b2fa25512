"""The pictures of docs/methods.md: what each method shows of one synthetic connector with a scratch.

python benchmarks/pictures.py [--methods ae,unet,dfr,padim,patchknn,subspace] [--output docs/images]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.evaluation.evaluate import evaluate
from adkit.evaluation.pictures import write_pictures
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit
from adkit.workflows.score import Workplace

PART, KIND = "demo:connector", "scratch"
WIDTH_PX = 900


def main() -> None:
    """Fit each method on the synthetic part with its defaults, and write METHOD.jpg into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="ae,unet,dfr,padim,patchknn,subspace")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    registry = load_registry()
    (dataset,) = open_datasets(PART, None, registry)
    for method in arguments.methods.split(","):
        with tempfile.TemporaryDirectory() as folder:
            run = fit(FitSettings(method=method), dataset, Path(folder), registry, terminal_progress())
            evaluation = evaluate(run, Workplace(registry, progress=terminal_progress()))
            chosen = next(row for row, sample in enumerate(evaluation.samples) if KIND in (sample.kind or ""))
            (path,) = write_pictures(evaluation, Workplace(registry), Path(folder), [chosen])
            picture = Image.open(path).convert("RGB")
            picture.thumbnail((WIDTH_PX, WIDTH_PX))
            picture.save(arguments.output / f"{method}.jpg", quality=80)
            print(arguments.output / f"{method}.jpg", flush=True)


if __name__ == "__main__":
    main()
