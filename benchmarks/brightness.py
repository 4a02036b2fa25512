"""How much of a category's AUROC the image's mean brightness alone reaches, and what is left of a method without it.

python benchmarks/brightness.py [--methods ae,unet,patchknn] [--datasets mvtec:screw,bottle] [--set error=l2]

Where the good test images are darker or brighter than all others, a method may seem to find defects and only see
the light. Made equally bright means: every image, of training and test, is multiplied so that its mean is the
training images' mean, but for what is then cut off at white.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from _setting import data_root, heading
from PIL import Image
from sklearn.metrics import roc_auc_score

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.data.images import read_image
from adkit.evaluation.evaluate import evaluate
from adkit.interfaces import Dataset
from adkit.options import split_assignments
from adkit.registry import Registry, load_registry
from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit
from adkit.workflows.score import Workplace


def main() -> None:
    """Print a Markdown table: brightness alone, then each method on the images as they are and made equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="patchknn,ae,unet")
    parser.add_argument("--datasets", default="mvtec:screw,bottle")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the methods")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    heading("brightness: what is caught and image AUROC, the images as they are and made equally bright")
    registry = load_registry()
    options = split_assignments(arguments.set, example="--set error=l2")
    print("| category | mean brightness: training, good, defective | method | as they are | equally bright |")
    print("|---|---|---|---|---|")
    for dataset in open_datasets(arguments.datasets, data_root(), registry):
        with tempfile.TemporaryDirectory() as folder:
            equal = _equally_bright(dataset, Path(folder) / "data", registry)
            means = _means(dataset)
            good, defective = (np.array(means[kind]) for kind in ("good", "defective"))
            levels = ", ".join(f"{np.mean(values):.1f} ± {np.std(values):.1f}" for values in means.values())
            alone = roc_auc_score([0] * len(good) + [1] * len(defective), [*good, *defective])
            print(f"| {dataset.spec} | {levels} | brightness alone, at best | {max(alone, 1 - alone):.4f} | – |")
            for method in arguments.methods.split(","):
                found = []
                for one in (dataset, equal):
                    settings = FitSettings(method=method, options=options, seed=arguments.seed)
                    run = fit(settings, one, Path(folder), registry, terminal_progress())
                    judged = evaluate(run, Workplace(registry, progress=terminal_progress()))
                    found.append(f"{judged.verdict}: {judged.metrics['image_auroc'].value:.4f}")
                named = " ".join([method, *arguments.set])
                print(f"| {dataset.spec} | | {named} | {found[0]} | {found[1]} |", flush=True)


def _means(dataset: Dataset) -> dict[str, list[float]]:
    """Return the mean brightness, 0..255, of each image."""
    found: dict[str, list[float]] = {"training": [], "good": [], "defective": []}
    found["training"] = [float(read_image(sample.frame).mean()) for sample in dataset.samples("train")]
    for sample in dataset.samples("test"):
        found["defective" if sample.anomalous else "good"].append(float(read_image(sample.frame).mean()))
    return found


def _equally_bright(dataset: Dataset, root: Path, registry: Registry) -> Dataset:
    """Return a copy of the dataset in MVTec's layout, with masks left out."""
    level = float(np.mean([read_image(sample.frame).mean() for sample in dataset.samples("train")]))
    for split in ("train", "test"):
        for number, sample in enumerate(dataset.samples(split)):
            picture = read_image(sample.frame).astype(np.float32)
            lit = np.clip(picture * (level / max(float(picture.mean()), 1.0)), 0, 255).round().astype(np.uint8)
            folder = root / "mvtec" / "equal" / split / (sample.kind or "good")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(lit).save(folder / f"{number:04d}.png")
    (equal,) = open_datasets("mvtec:equal", root, registry)
    return equal


if __name__ == "__main__":
    main()
