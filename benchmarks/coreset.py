"""The blocked coreset against the plain loop with one pass per chosen patch: the same indices, and how much faster.

python benchmarks/coreset.py [--images 320] [--ratio 0.01]

The patches are those of the screw images that $ADKIT_DATA holds, 1024 of each at 256 px, projected to 128
features; without the data as many are drawn from a mixture of Gaussians.
"""

from __future__ import annotations

import argparse
import time

import torch
from _setting import heading

from adkit.data.batches import FrameBatches
from adkit.data.datasets import open_datasets
from adkit.data.view import View
from adkit.errors import DatasetError
from adkit.nn.features.coreset import greedy_coreset
from adkit.nn.features.patches import PatchFeatures
from adkit.registry import load_registry

LENGTH = 128


def main() -> None:
    """Run both on the same patches and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--ratio", type=float, default=0.01)
    arguments = parser.parse_args()
    found = _screws(arguments.images)
    patches = _drawn(arguments.images) if found is None else found
    heading(f"coreset: blocks against one pass per point, {'drawn patches' if found is None else 'patches of screws'}")
    count = round(arguments.ratio * len(patches))
    started = time.perf_counter()
    blocked = greedy_coreset(patches, count)
    blocked_s = time.perf_counter() - started
    started = time.perf_counter()
    plain = plain_loop(patches, count)
    plain_s = time.perf_counter() - started
    same = bool(torch.equal(blocked, plain))
    print("| patches | chosen | blocks | plain loop | ratio | identical indices |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {len(patches):,} × {patches.shape[1]} | {count:,} | {blocked_s:.1f} s | {plain_s:.1f} s "
        f"| {plain_s / blocked_s:.1f} | {'yes' if same else 'NO'} |"
    )
    if not same:
        first = int((blocked[: len(plain)] != plain[: len(blocked)]).nonzero()[0])
        raise SystemExit(f"the selections differ from position {first} on")


def plain_loop(patches: torch.Tensor, count: int) -> torch.Tensor:
    """Make one pass over all patches per chosen one: the textbook's loop with a fused product.

    Where two patches are equally far up to float32's rounding, they are compared in float64.
    """
    norms = patches.square().sum(dim=1)
    rounding = 64 * torch.finfo(torch.float32).eps * float(norms.max())
    nearest = torch.full_like(norms, torch.inf)
    chosen = [0]
    while len(chosen) < count:
        last = chosen[-1]
        passed = torch.addmv(norms + norms[last], patches, patches[last], alpha=-2).clamp_min_(0)
        torch.minimum(nearest, passed, out=nearest)
        nearest[last] = 0
        close = torch.nonzero(nearest >= nearest.max() - rounding).flatten()
        if len(close) > 1:
            bank = patches[chosen].double()
            exact = torch.stack([(bank - patches[row].double()).square().sum(dim=1).min() for row in close])
            close = close[exact.argmax()][None]
        chosen.append(int(close[0]))
    return torch.tensor(chosen)


def _screws(images: int) -> torch.Tensor | None:
    """Return the patches of that many images, None where $ADKIT_DATA names no screws."""
    try:
        (dataset,) = open_datasets("mvtec:screw", None, load_registry())
    except DatasetError:
        return None
    features = PatchFeatures()
    batches = FrameBatches(dataset.samples("train")[:images], View(frame=(256, 256)))
    found = torch.cat([features(batch.frames[:, -1]).flatten(0, 2) for batch in batches])
    generator = torch.Generator().manual_seed(0)
    return found @ (torch.randn(found.shape[1], LENGTH, generator=generator) / LENGTH**0.5)


def _drawn(images: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(200, LENGTH, generator=generator)
    rows = torch.randint(200, (images * 1024,), generator=generator)
    return centres[rows] + torch.randn(len(rows), LENGTH, generator=generator)


if __name__ == "__main__":
    main()
