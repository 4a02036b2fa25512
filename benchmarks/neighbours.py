"""Exact nearest neighbours: ours against torch's product, and faiss's flat index where faiss is installed.

python benchmarks/neighbours.py
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from _setting import heading, in_turns

from adkit.nn.features.neighbours import NearestNeighbour

QUERIES, LENGTH, ROUNDS = 2304, 152, 15


def main() -> None:
    """Time one frame's queries against banks of several lengths."""
    heading(f"nearest neighbours: milliseconds for {QUERIES} queries × {LENGTH}")
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(QUERIES, LENGTH, generator=generator)
    print("| bank | adkit | torch | faiss IndexFlatL2 |")
    print("|---|---|---|---|")
    for rows in (1000, 3500, 10_000, 30_000):
        bank = torch.randn(rows, LENGTH, generator=generator)
        ours = NearestNeighbour(bank)
        searches: list[Callable[[], object]] = [
            lambda ours=ours: ours.distances(queries),
            lambda ours=ours: (F.pad(queries, (0, 1), value=1.0) @ ours.columns).amin(dim=1),
        ]
        try:
            import faiss

            index = faiss.IndexFlatL2(LENGTH)
            index.add(bank.numpy())
            searches.append(lambda index=index: index.search(queries.numpy(), 1))
        except ImportError:
            pass
        taken = [f"{statistics.median(times) * 1000:.1f}" for times in in_turns(searches, ROUNDS)]
        print(f"| {rows:,} | {' | '.join(taken)}{' | not installed' if len(taken) < 3 else ''} |", flush=True)


if __name__ == "__main__":
    main()
