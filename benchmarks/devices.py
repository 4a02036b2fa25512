"""Learning and scoring on a GPU against the CPU: the same scores and decisions, and how many frames a second.

python benchmarks/devices.py [--device cuda] [--methods patchknn,ae]

Each method learns twice, on the CPU and on the device, and both runs are scored on both. Of one run the scores must
agree to within TOLERANCE of each, and all decisions must be the same; the exit code is 1 where they are not. Two
trainings are never the same to the digit (the device multiplies in another precision): of them the AUROC is shown.
Where there is no such device, a line says so, and the exit code is 0.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from _setting import heading
from sklearn.metrics import roc_auc_score

import adkit
from adkit.data.datasets import open_datasets
from adkit.data.frame_source import frames_of
from adkit.nn.devices import pick_device
from adkit.registry import load_registry
from adkit.synthetic.conveyor import write_conveyor
from adkit.synthetic.parts import write_parts

TOLERANCE = 1e-3
"""The largest difference of two scores of a frame, as a share of the CPU's (of their spread, if that is larger)."""
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "patchknn": ("mvtec:washer", {"size": 256}),
    "ae": ("mvtec:washer", {"epochs": 4, "size": 96}),
    "convlstm": ("clips:conveyor", {"epochs": 1, "size": 128}),
    "padim": ("mvtec:washer", {"size": 128}),
    "subspace": ("mvtec:washer", {"size": 128}),
    "knn": ("mvtec:washer", {"size": 128}),
    "dfr": ("mvtec:washer", {"epochs": 2, "size": 128}),
    "unet": ("mvtec:washer", {"epochs": 2, "size": 96}),
}
"""The data and options of each method, small ones: this is about agreeing, not about finding much."""
EVERY = 3
"""Of the clips one frame in so many is learned and scored."""


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--methods", default=",".join(CASES))
    arguments = parser.parse_args()
    chosen: str = arguments.device
    if chosen.startswith("cuda") and not torch.cuda.is_available():
        print("no CUDA device on this machine: nothing was compared")
        return
    device = pick_device(chosen)
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    heading(f"the CPU and {device} ({name})")
    columns = ("method", "learned on", "learning, s", "frames", "CPU, 1/s", f"{device}, 1/s", "largest difference")
    print("|", " | ".join((*columns, "other decisions", "AUROC")), "|")
    print("|---" * (len(columns) + 2), "|", sep="")
    agree = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_parts(root / "mvtec" / "washer", "washer", seed=1, train=24, good=12, each_grade=3)
        write_conveyor(root / "conveyor", seed=1, train=4, good=1, each_kind=1)
        for method in arguments.methods.split(","):
            for place in dict.fromkeys(("cpu", device)):
                try:
                    agree &= compared(method, place, device, root)
                except Exception:  # one method that fails must not hide how the others do
                    print(f"| {method} | {place} | failed |", flush=True)
                    traceback.print_exc()
                    agree = False
    sys.exit(0 if agree else 1)


def compared(method: str, place: str, device: str, root: Path) -> bool:
    """Learn on `place`, score on both, print a row; say whether scores and decisions agree."""
    started = time.perf_counter()
    spec, options = CASES[method]
    every = EVERY if spec.startswith("clips") else 1
    settings = {"root": str(root), "every": every, "options": options, "device": place}
    run = adkit.fit(method, spec, runs=root / f"runs-{place}", **settings)
    learned_s = time.perf_counter() - started
    (dataset,) = open_datasets(spec, root, load_registry())
    samples = dataset.samples("test")[::every]
    scores, decisions, rates = [], [], []
    for one in ("cpu", device):
        model = adkit.load(run, device=one)
        frames = list(frames_of(samples, model.view))
        list(model.stream(frames[:16]))  # what is loaded and built once
        started = time.perf_counter()
        results = list(model.stream(frames))
        rates.append(len(frames) / (time.perf_counter() - started))
        scores.append(torch.tensor([result.raw for result in results], dtype=torch.float64))
        decisions.append([result.anomalous for result in results])
    scale = scores[0].abs().clamp_min(float(scores[0].std()))
    difference = float(((scores[1] - scores[0]).abs() / scale).max())
    others = sum(a != b for a, b in zip(*decisions, strict=True))
    auroc = roc_auc_score([bool(sample.anomalous) for sample in samples], scores[0].numpy())
    speeds = " | ".join(f"{rate:.0f}" for rate in rates)
    print(f"| {method} | {place} | {learned_s:.1f} | {len(samples)} | {speeds} ", end="")
    print(f"| {difference:.1e} | {others} | {auroc:.3f} |", flush=True)
    return difference <= TOLERANCE and others == 0


if __name__ == "__main__":
    main()
