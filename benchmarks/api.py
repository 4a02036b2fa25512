"""The REST interface under load: many programs send images at once for a while; latencies, errors, memory.

python benchmarks/api.py [--programs 50] [--seconds 60] [--method patchknn]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil
from _server import fitted, serving
from _setting import heading

from adkit.data.datasets import open_datasets
from adkit.registry import load_registry

PART = "washer"
MOST_SECONDS = 60


async def ask(address: str, images: list[bytes], programs: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """Return seconds of each answer, and how often each status came."""
    taken: list[float] = []
    statuses: Counter[int] = Counter()
    until = time.perf_counter() + seconds

    async def program(number: int) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=120) as client:
            while time.perf_counter() < until:
                sent = {"image": ("part.png", images[number % len(images)], "image/png")}
                began = time.perf_counter()
                response = await client.post("/api/score", files=sent)
                taken.append(time.perf_counter() - began)
                statuses[response.status_code] += 1
                number += 1

    await asyncio.gather(*(program(number) for number in range(programs)))
    return taken, statuses


def main() -> None:
    """Fit on the synthetic part, serve it and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS)
    parser.add_argument("--method", default="patchknn")
    arguments = parser.parse_args()
    seconds = min(arguments.seconds, MOST_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        fitted(Path(folder), PART, arguments.method)
        (dataset,) = open_datasets(f"demo:{PART}", None, load_registry())
        images = [sample.frame.path.read_bytes() for sample in dataset.samples("test")]
        with serving(Path(folder), "--api-only") as served:
            server = psutil.Process(served.process.pid)
            asyncio.run(ask(served.address, images, 1, 2))  # torch is loaded, the run is open
            alone, _ = asyncio.run(ask(served.address, images, 1, 3))
            before = server.memory_info().rss
            highest = [before]

            async def load() -> tuple[list[float], Counter[int]]:
                asking = asyncio.create_task(ask(served.address, images, arguments.programs, seconds))
                while not asking.done():
                    highest.append(server.memory_info().rss)
                    await asyncio.sleep(0.2)
                return await asking

            began = time.perf_counter()
            taken, statuses = asyncio.run(load())
            took = time.perf_counter() - began
            after = server.memory_info().rss
    heading(f"{arguments.method} on demo:{PART}: {arguments.programs} programs at once for {seconds:.0f} s")
    parts = np.percentile(taken, [50, 90, 99, 100])
    print("| what | figure |\n|---|---|")
    print(f"| answers | {len(taken)}, {len(taken) / took:.1f} in a second |")
    print(f"| other than 200 | {sum(count for status, count in statuses.items() if status != 200)} |")
    print(f"| one program alone, median | {1000 * np.median(alone):.0f} ms |")
    print(f"| all at once: median, 90 %, 99 %, longest | {', '.join(f'{1000 * part:.0f}' for part in parts)} ms |")
    memory = ", ".join(f"{one / 1e6:.0f}" for one in (before, max(highest), after))
    print(f"| memory before, highest, after | {memory} MB |")


if __name__ == "__main__":
    main()
