"""Watching videos: frames a second from file to annotated video, and what an hour takes in memory beside a minute.

python benchmarks/watching.py [--only speed|memory] [--method patchknn] [--set size=128] [--minutes 60]

The videos are made here: a noisy grey with a bright square that walks through. Speed is measured at 640×360 and the
method's own size, with decoding and all outputs; memory with small frames, five a second, and a small autoencoder, all
outputs being written, in processes of their own: the highest resident set, as the system counts it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from _setting import heading
from _sides import peak_mb

from adkit.cli import app
from adkit.cli.terminal import terminal_progress
from adkit.data.spans import VideoSpans, parse_spans
from adkit.data.video import video_times
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit

RATE = 25
SLOW = 5
"""Frames a second for the memory: an hour of them is judged in minutes."""
SMALL = (48, 64)
CHEAP = {"size": "48", "width": "4", "epochs": "1"}
MOST_GROWTH = 0.10


def write(path: Path, seconds: float, size: tuple[int, int], rate: int = RATE) -> Path:
    """Return a video of so many seconds, `size` = (height, width) px."""
    random = np.random.default_rng(0)
    height, width = size
    grains = random.integers(100, 140, (16, height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(round(seconds * rate)):
            pixels = grains[number % 16].copy()
            left = number * 3 % (width - height // 4)
            pixels[height // 3 : height // 2, left : left + height // 4] = 230
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def learn(method: str, options: dict[str, str], video: Path, runs: Path, seconds: int) -> None:
    """Return a run from the video's first seconds."""
    dataset = VideoSpans(video, parse_spans([f"0s-{seconds}s"]))
    fit(FitSettings(method=method, options=options), dataset, runs, load_registry(), terminal_progress())


def watch(video: Path, runs: Path, folder: Path, annotated: bool) -> None:
    """Score as a user does; print frames a second, processor time and the highest resident set in MB."""
    outputs = ["--output", "scores.csv", "--events", "events.vtt", "--timeline", "timeline.png"]
    if annotated:
        outputs += ["--annotate", "out.mp4"]
    arguments = [str(folder / one) if "." in one else one for one in outputs]
    started, used = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        app(["score", str(video), "--runs", str(runs), *arguments], standalone_mode=False)
    wall, processor = time.perf_counter() - started, time.process_time() - used
    frames = len(video_times(video))  # fewer are judged
    print(frames, frames / wall, 1000 * processor / frames, peak_mb())


def watched(video: Path, runs: Path, *, annotated: bool = True) -> tuple[float, float, float, float]:
    """Return the same from a process of its own."""
    arguments = [sys.executable, __file__, "--watch", str(video), "--runs", str(runs)]
    switch = ["--annotated"] if annotated else []
    done = subprocess.run([*arguments, *switch], stdout=subprocess.PIPE, text=True, check=True)
    frames, rate, processor, highest = map(float, done.stdout.split())
    return frames, rate, processor, highest


def speed(method: str, options: dict[str, str], folder: Path) -> None:
    """Return frames a second of 18 seconds that were not learned from and 6 that were."""
    video = write(folder / "speed.mp4", 24, (360, 640))
    learn(method, options, video, folder / "fast", 6)
    print(f"{method} {options or ''}\n\n| output | frames/s | processor ms a frame |\n|---|---|---|")
    for title, annotated in (("scores", False), ("scores and annotated video", True)):
        _, rate, processor, _ = watched(video, folder / "fast", annotated=annotated)
        print(f"| {title} | {rate:.1f} | {processor:.1f} |", flush=True)


def memory(minutes: float, folder: Path) -> None:
    """Return the highest memory of a minute and of many."""
    short = write(folder / "short.mp4", 60, SMALL, SLOW)
    long = write(folder / "long.mp4", 60 * minutes, SMALL, SLOW)
    learn("ae", CHEAP, short, folder / "runs", 30)
    print("\n| length | frames | frames/s | highest memory, MB |\n|---|---|---|---|")
    found = []
    for title, clip in (("1 minute", short), (f"{minutes:g} minutes", long)):
        frames, rate, _, highest = watched(clip, folder / "runs")
        found.append(highest)
        print(f"| {title} | {frames:,.0f} | {rate:.0f} | {highest:.0f} |", flush=True)
    growth = found[1] / found[0] - 1
    verdict = "kept" if growth <= MOST_GROWTH else "NOT kept"
    print(f"\nthe long one takes {growth:+.1%} of the short one's memory; at most {MOST_GROWTH:+.0%}: {verdict}")


def main() -> None:
    """Speed first, then memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--method", default="patchknn")
    parser.add_argument("--set", action="append", default=[], help="options of the method, for the speed")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--watch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--annotated", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.watch:
            watch(arguments.watch, arguments.runs, Path(name), arguments.annotated)
            return
        heading("watching: from file to scores, events and annotated video")
        if arguments.only != "memory":
            speed(arguments.method, dict(one.split("=", 1) for one in arguments.set), Path(name))
        if arguments.only != "speed":
            memory(arguments.minutes, Path(name))


if __name__ == "__main__":
    main()
