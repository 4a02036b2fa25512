"""How much each direction of the features counts: less, where normal patches differ from those that are most like them.

Relevant component analysis (Bar-Hillel et al., JMLR 6, 2005) whitens by the covariance of differences between what is
known to be alike. Here nobody says what is alike: it is each patch and the nearest one of another image.
"""

import torch
from torch import Tensor

from adkit.nn.features.neighbours import NearestNeighbour
from adkit.nn.spool import Rows

DRAWN = 12_000
"""So many patches, drawn at random, are compared with as many others."""
AT_ONCE = 1000
ALIKE = 16
"""Patches lie on a grid and overlap: about so many say as much as a single one that is independent."""


def likeness_weights(
    patches: Rows, sources: Tensor, levels: Tensor, whitening: float, generator: torch.Generator
) -> Tensor:
    """Return the matrix (D, D) by which patches (N, D) are multiplied, so that what is alike comes near.

    `sources` (N,) is the image or clip of each patch, and `levels` (D,) are the weights that balance the levels. What
    differs between like patches is whitened by this power: 0 leaves it as it is, with 1 it has the same spread in all
    directions, as far as there are patches enough to know them. All patches together vary as much as before.
    """
    balanced = torch.diag(levels)
    if not whitening:
        return balanced
    asked, others = (torch.randint(len(patches), (DRAWN,), generator=generator) for _ in range(2))
    like, rows = ((patches[drawn] * levels).cpu() for drawn in (asked, others))  # not every device knows float64
    differences = _from_nearest(like, sources[asked], rows, sources[others])
    covariance = _steadied(differences.T @ differences, min(len(patches), DRAWN) / ALIKE)
    variances, directions = torch.linalg.eigh(covariance)
    if float(variances.max()) <= 0:  # like patches are the same
        return balanced
    whitened = (directions * variances.pow(-whitening / 2)) @ directions.T
    before, after = (part.var(dim=0).sum() for part in (rows.double(), rows.double() @ whitened))
    weights: Tensor = balanced.cpu().double() @ whitened * (before / after).sqrt()
    return weights.to(levels.device, torch.float32)


def _steadied(covariance: Tensor, count: float) -> Tensor:
    """Draw a covariance of so many independent rows to a multiple of the identity, the more the fewer rows there are.

    Directions in which a few images hardly differ by chance would else count most: then new good parts score higher
    than images that were left out, as what these differ in was whitened too.
    """
    length = len(covariance)
    share = length / (length + count)
    return (1 - share) * covariance + share * covariance.trace() / length * torch.eye(length, dtype=torch.float64)


def _from_nearest(asked: Tensor, sources: Tensor, others: Tensor, of_others: Tensor) -> Tensor:
    """Return how rows (Q, D) differ from the nearest of the others (N, D) that has another source, in float64."""
    found, nearest = [], NearestNeighbour(others)
    for rows, own in zip(torch.split(asked, AT_ONCE), torch.split(sources, AT_ONCE), strict=True):
        products = nearest.products(rows)
        products[own[:, None] == of_others] = torch.inf
        least = products.min(dim=1)
        known = least.values < torch.inf
        found.append((rows - others[least.indices])[known])
    return torch.cat(found).double()
