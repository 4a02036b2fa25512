"""How many times as fast as a reference adkit is, each reference measured beside it; exit code 1 where one fell.

python benchmarks/regressions.py [--json FILE]

Seconds depend on the machine, and on who else is at work on it; how many times as long something else takes depends far
less. A ratio below two thirds of what it was when it was written down here is a regression. What got faster is written
down anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import torch
import torch.nn.functional as F
from _setting import heading, in_turns, median_ratio
from coreset import plain_loop
from PIL import Image
from scoring import bare_backbone
from watching import write

from adkit.data.datasets import open_datasets
from adkit.data.frame_source import frames_of
from adkit.data.images import read_image
from adkit.data.video import Video
from adkit.interfaces import Silent
from adkit.nn.features.coreset import greedy_coreset
from adkit.nn.features.neighbours import NearestNeighbour
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.synthetic.parts import write_parts
from adkit.types import Batch, FrameRef
from adkit.workflows.fit import fit
from adkit.workflows.score import open_model

FELL = 2 / 3
REFERENCES: dict[str, tuple[str, float]] = {
    "start-up": ("a process that imports torch / `adkit --help`", 10),
    "decode": ("Pillow alone / adkit, a PNG", 0.92),
    "video": ("PyAV alone / adkit, the frames of a video as RGB", 1.0),
    "coreset": ("one pass for each patch / blocks, 400 of 40,000 × 128", 2.2),
    "search": ("torch's product / adkit, 2,304 × 152 in a bank of 3,500", 0.60),
    "score": ("the backbone alone / a decoded image", 0.53),
    "files": ("the backbone alone / file to score", 0.44),
    "fit": ("the backbone alone, each image once / a fit", 0.068),
}
"""What is divided by what, and the ratio on 2026-11-28 on two idle cores of an Intel Xeon: the middle of two runs.

That of a video is of the least processor time, on busy ones.
"""


def main() -> None:
    """Measure all, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the ratios to this file too")
    arguments = parser.parse_args()
    about = heading("regressions: reference / adkit, each beside the other")
    with tempfile.TemporaryDirectory() as folder:
        write_parts(Path(folder) / "mvtec" / "washer", "washer", seed=1, train=24, good=8, each_grade=1)
        found = {**apart(Path(folder)), **together(Path(folder))}
    print("| work | reference / adkit | ratio | it was | |\n|---|---|---|---|---|")
    fallen = [name for name, ratio in found.items() if ratio < FELL * REFERENCES[name][1]]
    for name, ratio in found.items():
        words, was = REFERENCES[name]
        print(f"| {name} | {words} | {ratio:.2g} | {was:.2g} | {'FELL' if name in fallen else ''} |")
    if arguments.json:
        rows = {name: {"ratio": ratio, "reference": REFERENCES[name][1]} for name, ratio in found.items()}
        arguments.json.write_text(json.dumps({**about, "ratios": rows}, indent=2) + "\n", encoding="utf-8")
    sys.exit(f"slower than it was by a third or more: {', '.join(fallen)}" if fallen else 0)


def apart(folder: Path) -> dict[str, float]:
    """Return the ratios of single parts."""
    picture = next((folder / "mvtec" / "washer" / "train" / "good").glob("*.png"))
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(200, 128, generator=generator)
    patches = centres[torch.randint(200, (40_000,), generator=generator)] + torch.randn(
        40_000, 128, generator=generator
    )
    bank, queries = torch.randn(3500, 152, generator=generator), torch.randn(2304, 152, generator=generator)
    ours = NearestNeighbour(bank)

    path = write(folder / "video.mp4", 8, (360, 640))

    def bare_video() -> None:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                frame.to_ndarray(format="rgb24")

    def our_video() -> None:
        with Video(path) as video:
            for frame in video:
                frame.pixels()

    def started(*arguments: str) -> object:
        return subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    return {
        "start-up": ratio(lambda: started("-c", "import torch"), lambda: started("-m", "adkit", "--help"), 3),
        "decode": ratio(lambda: Image.open(picture).convert("RGB"), lambda: read_image(FrameRef(picture)), 20),
        "video": ratio(bare_video, our_video, 10),
        "coreset": ratio(lambda: plain_loop(patches, 400), lambda: greedy_coreset(patches, 400), 2),
        "search": ratio(
            lambda: (F.pad(queries, (0, 1), value=1.0) @ ours.columns).amin(dim=1), lambda: ours.distances(queries), 20
        ),
    }


def together(folder: Path) -> dict[str, float]:
    """Return the ratios of a fit and of scoring, beside the backbone of the same pixels."""
    registry = load_registry()
    (dataset,) = open_datasets("mvtec:washer", folder, registry)
    settings, samples = FitSettings(method="patchknn"), dataset.samples("test")
    run = fit(settings, dataset, folder / "runs", registry, Silent())
    model = open_model(run, registry)
    height, width = model.method.frame_size
    bare, frame = bare_backbone((height, width)), torch.rand(1, 3, height, width)
    single = Batch(frame[:, None], ("0",), ("0",))

    def backbones(count: int) -> Callable[[], object]:
        return lambda: [bare(frames=frame) for _ in range(count)]

    learned = len(dataset.samples("train"))
    return {
        "score": ratio(backbones(1), lambda: model.method.predict(single), 20),
        "files": ratio(backbones(len(samples)), lambda: list(model.stream(frames_of(samples, model.view))), 5),
        "fit": ratio(backbones(learned), lambda: fit(settings, dataset, folder / "again", registry, Silent()), 2),
    }


def ratio(reference: Callable[[], object], ours: Callable[[], object], rounds: int) -> float:
    """Return how many times as long the reference takes; the least of each, where many rounds are cheap."""
    first, second = in_turns([reference, ours], rounds)
    return median_ratio(first, second) if rounds < 10 else statistics.median(first) / statistics.median(second)


if __name__ == "__main__":
    main()
