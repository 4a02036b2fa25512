"""Nearest rows among very many, by an index of faiss: approximate, and how nearly is measured when it is built.

exact   one matrix product with all rows: what is used up to some ten thousand of them
ivf     rows in cells around centres; those of the nearest cells are compared (inverted file)
hnsw    a graph of near rows that is walked from far to near (Malkov and Yashunin, arXiv 1603.09320)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adkit.errors import OptionError

IndexKind = Literal["auto", "exact", "ivf", "hnsw"]

RECALL = 0.99
"""An index looks at so much that it finds the nearest row of this share of rows that it does not hold, if it can."""
QUERIES = 1000  # rows by which that is measured
_LINKS = 32  # of each row of an hnsw's graph
_MOST_LOOKED_AT = 1024  # cells of an ivf, or rows at once of an hnsw


def kind_of(wanted: IndexKind, rows: int, most_exact: int) -> IndexKind:
    """Return which index is used for so many rows: auto is exact up to `most_exact`, then ivf."""
    if wanted == "auto":
        return "exact" if rows <= most_exact else "ivf"
    return wanted


@dataclass(frozen=True)
class Index:
    """An index of float32 (N, D) rows on the CPU."""

    index: Any  # faiss.Index

    @classmethod
    def built(cls, rows: Tensor, kind: IndexKind, others: Tensor | None = None) -> tuple["Index", float]:
        """Build it of rows (N, D); also the share of `others` (Q, D), or of the rows, whose nearest row it finds."""
        faiss = _faiss()
        asked, rank = (rows, 2) if others is None else (others, 1)
        values, queries = _array(rows), _array(asked[:: max(1, len(asked) // QUERIES)])
        count, length = values.shape
        if kind == "hnsw":
            index = faiss.IndexHNSWFlat(length, _LINKS)
        else:
            # So few rows in a cell that a centre is not told by chance; as many cells as rows in them.
            cells = max(1, min(int(4 * count**0.5), count // 39))
            index = faiss.IndexIVFFlat(faiss.IndexFlatL2(length), length, cells)
            index.cp.min_points_per_centroid = 1  # or it warns of fewer on stderr, into what is printed there
            index.train(values)
        index.add(values)
        exact = faiss.IndexFlatL2(length)
        exact.add(values)
        least = exact.search(queries, rank)[0][:, -1]
        looked_at, recall = 8, 0.0
        while recall < RECALL and looked_at < _MOST_LOOKED_AT:
            looked_at *= 2
            if kind == "hnsw":
                index.hnsw.efSearch = looked_at
            else:
                index.nprobe = looked_at
            found = index.search(queries, rank)[0][:, -1]
            recall = float((found <= least * (1 + 1e-4) + 1e-5).mean())
        return cls(index), recall

    def nearest(self, queries: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
        """Turn float32 (Q, D) into squared distances (Q, count) to the nearest rows, and their numbers (-1: none)."""
        squared, rows = self.index.search(_array(queries), count)
        return torch.from_numpy(squared).clamp_min_(0), torch.from_numpy(rows)

    def state(self) -> dict[str, Tensor]:
        """Return it as a tensor for a run: it holds the rows too."""
        return {"index": torch.from_numpy(_faiss().serialize_index(self.index))}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Index | None":
        """Return what `state` gave; None where there is none."""
        return cls(_faiss().deserialize_index(state["index"].numpy())) if "index" in state else None


def doubts(recall: float) -> list[str]:
    """Say that an index finds less than it should; nothing where it does not."""
    if recall >= RECALL:
        return []
    return [f"the index finds {recall:.1%} of the nearest rows, less than {RECALL:.0%}: --set index=exact finds all"]


def require_exact(index: Index | None) -> None:
    """Raise OptionError where an export would have to search as faiss does."""
    if index is not None:
        hint = "fit again with --set index=exact"
        raise OptionError("a run that searches by an index of faiss cannot be exported", hint=hint)


def _array(rows: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(rows.detach().cpu().to(torch.float32).numpy())


def _faiss() -> Any:
    import faiss  # takes a fifth of a second: only where there are very many rows

    return faiss
