"""Nearest neighbours: ours against torch's product and faiss's flat index; or its indexes of large banks against ours.

python benchmarks/neighbours.py [--indexes [--rows 20000,50000,200000]]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from _setting import heading, in_turns

from adkit.nn.features.index import Index
from adkit.nn.features.neighbours import NearestNeighbour

QUERIES, LENGTH, ROUNDS = 2304, 152, 15
LONG, HIDDEN = 192, 16
"""Features of the rows that indexes are built of, and how many of them are free: the others follow from these."""


def main() -> None:
    """Time one frame's queries against banks of several lengths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--indexes", action="store_true", help="the indexes that `--set index=` takes")
    parser.add_argument("--rows", default="20000,50000,200000", help="of their banks")
    given = parser.parse_args()
    if given.indexes:
        indexes([int(rows) for rows in given.rows.split(",")])
    else:
        exact()


def exact() -> None:
    """Time the exact search against others'."""
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


def indexes(banks: list[int]) -> None:
    """Time the indexes in turns with the exact search, and say which share of the nearest rows they find."""
    heading(f"indexes: milliseconds for {QUERIES} queries × {LONG}")
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(HIDDEN, LONG, generator=generator)

    def drawn(count: int) -> torch.Tensor:
        hidden = torch.randn(count, HIDDEN, generator=generator)
        return torch.tanh(hidden @ mixing) + 0.05 * torch.randn(count, LONG, generator=generator)

    print("| bank | index | built in | a batch | times exact | recall |\n|---|---|---|---|---|---|")
    for rows in banks:
        bank, queries = drawn(rows), drawn(QUERIES)
        searches, built = [NearestNeighbour(bank).squared], [("exact", 0.0, 1.0)]
        truth = searches[0](queries)
        for kind in ("ivf", "hnsw"):
            started = time.perf_counter()
            index, _ = Index.built(bank, kind, drawn(1000))
            built_s = time.perf_counter() - started
            searches.append(lambda asked, index=index: index.nearest(asked)[0][:, 0])
            found = searches[-1](queries)
            built.append((kind, built_s, float((found <= truth * (1 + 1e-4) + 1e-3).double().mean())))
        times = [statistics.median(one) for one in in_turns([partial(one, queries) for one in searches], 5)]
        for (kind, built_s, recall), taken in zip(built, times, strict=True):
            row = (f"{rows:,}", kind, f"{built_s:.1f} s", f"{1000 * taken:.0f} ms", f"{times[0] / taken:.2f}")
            print(f"| {' | '.join(row)} | {recall:.1%} |", flush=True)


if __name__ == "__main__":
    main()
