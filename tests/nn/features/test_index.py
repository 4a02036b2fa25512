"""Indexes of faiss: what they find, how much of it they say that they find, and that a run keeps them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from adkit.errors import OptionError
from adkit.nn.features.index import Index, IndexKind, kind_of, require_exact
from adkit.nn.features.neighbours import NearestNeighbour


def rows_and_others() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(40, 12, generator=generator)
    rows = centres[torch.randint(40, (4000,), generator=generator)] + torch.randn(4000, 12, generator=generator)
    return rows[:3000], rows[3000:]


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_index_finds_what_it_says(kind: IndexKind) -> None:
    rows, others = rows_and_others()
    index, recall = Index.built(rows, kind, others)
    exact = torch.cdist(others.double(), rows.double()).min(dim=1)
    squared, found = index.nearest(others)
    assert recall == pytest.approx(float((found[:, 0] == exact.indices).double().mean()), abs=2e-3)
    assert recall >= 0.99
    assert (squared[:, 0].sqrt() >= exact.values - 1e-3).all()
    torch.testing.assert_close(squared[:, 0], (rows[found[:, 0]] - others).square().sum(dim=1), atol=1e-3, rtol=1e-4)
    again = Index.from_state(index.state())
    assert again is not None
    assert torch.equal(again.nearest(others)[0], squared)
    weights = torch.rand(12, generator=torch.Generator().manual_seed(1)) + 0.5
    nearest = NearestNeighbour(rows, torch.diag(weights), index)
    torch.testing.assert_close(nearest.distances(others / weights), squared[:, 0].sqrt(), atol=1e-3, rtol=1e-3)


def test_rows_may_be_asked_for_their_nearest_others() -> None:
    rows, _ = rows_and_others()
    assert Index.built(rows, "hnsw")[1] >= 0.99


def test_auto_is_exact_as_long_as_that_is_quick() -> None:
    assert kind_of("auto", 20_000, 20_000) == "exact"
    assert kind_of("auto", 20_001, 20_000) == "ivf"
    assert kind_of("exact", 10**6, 20_000) == "exact"
    assert kind_of("hnsw", 10, 20_000) == "hnsw"


def test_an_index_cannot_be_exported() -> None:
    require_exact(None)
    with pytest.raises(OptionError, match="searches by an index of faiss cannot be exported"):
        require_exact(Index(object()))
