from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from adkit.nn.features import neighbours
from adkit.nn.features.neighbours import NearestNeighbour, append_distances
from adkit.nn.features.onnx_session import OnnxSession
from adkit.nn.features.patches import PatchFeatures
from adkit.testing.synthetic import synthetic_frames


def random_rows(count: int, length: int, seed: int) -> Tensor:
    return torch.randn(count, length, generator=torch.Generator().manual_seed(seed))


def brute_force(queries: Tensor, bank: Tensor) -> Tensor:
    """Distances (Q,) to the nearest rows, in float64."""
    return torch.cdist(queries.double(), bank.double(), compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)


@pytest.mark.parametrize(("rows", "length", "queries"), [(1, 1, 1), (1, 5, 40), (700, 32, 300), (33, 3, 1)])
def test_equals_brute_force(rows: int, length: int, queries: int) -> None:
    bank, asked = random_rows(rows, length, 0), random_rows(queries, length, 1)
    expected, squared = brute_force(asked, bank), NearestNeighbour(bank).squared(asked)
    torch.testing.assert_close(NearestNeighbour(bank).distances(asked).double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(squared.double(), expected.square(), rtol=1e-4, atol=1e-4)


def clustered(count: int, length: int, seed: int) -> Tensor:
    """Rows in eight tight heaps far from the origin: where |q|² + |b|² - 2qb cancels most."""
    heaps = 5 + 5 * random_rows(8, length, 9)
    return heaps[torch.arange(count) % 8] + 0.01 * random_rows(count, length, seed)


def of_parts(count: int, length: int, seed: int) -> Tensor:
    """Features of drawn parts, as methods search them."""
    features = PatchFeatures(strides=(8, 16))
    return features(synthetic_frames(4, (96, 96), seed=seed)[:, -1]).flatten(0, 2)[:count, :length]


@pytest.mark.parametrize("rows", [clustered, of_parts])
def test_the_nearest_row_is_found_among_heaps_and_among_features(rows: Callable[[int, int, int], Tensor]) -> None:
    bank, asked = rows(200, 64, 0), rows(300, 64, 1)
    found, expected = NearestNeighbour(bank).distances(asked).double(), brute_force(asked, bank)
    # Of |q|² float32 keeps 2^-23; what is lost of it is what a squared distance may be off by.
    lost = 8 * 2**-23 * float(asked.double().square().sum(dim=1).max() + bank.double().square().sum(dim=1).max())
    assert float((found.square() - expected.square()).abs().max()) <= lost


def test_queries_of_several_blocks() -> None:
    asked = random_rows(2 * neighbours._ROWS + 5, 4, 1)
    bank = random_rows(50, 4, 0)
    distances = NearestNeighbour(bank).distances(asked)
    assert distances.shape == (len(asked),)
    torch.testing.assert_close(distances.double(), brute_force(asked, bank), rtol=1e-4, atol=1e-4)


def test_queries_are_weighted_and_the_bank_is_not() -> None:
    weights = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.5, 0.0], [-1.0, 0.0, 0.0]])
    bank = random_rows(20, 3, 0)
    asked = random_rows(30, 3, 1)
    distances = NearestNeighbour(bank, weights).distances(asked)
    torch.testing.assert_close(distances.double(), brute_force(asked @ weights, bank), rtol=1e-4, atol=1e-4)


def test_products_are_distances_without_the_query_s_own_length() -> None:
    bank, asked, weights = random_rows(70, 6, 0), random_rows(9, 6, 1), random_rows(6, 6, 2)
    weighted = (asked @ weights).double()
    every = torch.cdist(weighted, bank.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    found = NearestNeighbour(bank, weights).products(asked).double() + weighted.square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(found, every, rtol=1e-4, atol=1e-4)


def test_equal_rows_change_nothing() -> None:
    bank = torch.tensor([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])
    squared = NearestNeighbour(bank).squared(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    assert squared.tolist() == [1, 0, 1]


def test_a_row_of_the_bank_is_at_distance_zero() -> None:
    bank = 10 * random_rows(64, 16, 0)
    squared = NearestNeighbour(bank).squared(bank)
    assert float(squared.min()) >= 0, "never negative by rounding: the root must exist"
    # |q|² is about 1600: what float32 loses of it remains.
    assert float(squared.max()) < 0.01
    assert bool(torch.isfinite(NearestNeighbour(bank).distances(bank)).all())


def test_the_torch_path_gives_the_same() -> None:
    """Other devices have no onnxruntime; the formula is tried on the CPU's tensors here."""
    bank, asked, weights = random_rows(100, 8, 0), random_rows(50, 8, 1), random_rows(8, 8, 2)
    nearest = NearestNeighbour(bank, weights)

    class Elsewhere(Tensor):
        @property
        def device(self) -> torch.device:  # type: ignore[override]
            return torch.device("meta")

    squared = nearest.squared(asked.as_subclass(Elsewhere))
    torch.testing.assert_close(squared.as_subclass(Tensor), nearest.squared(asked), rtol=1e-4, atol=1e-4)


def test_append_distances_equals_features_and_distances() -> None:
    doubled = helper.make_node("Mul", ["frames", "two"], ["features"])
    graph = helper.make_graph(
        [doubled],
        "features",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, 3, 5, 7])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 3, 5, 7])],
        [helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()
    frames = random_rows(3 * 5, 7, 0).reshape(1, 3, 5, 7)
    nearest = NearestNeighbour(random_rows(40, 7, 1), random_rows(7, 7, 2))
    (features,) = OnnxSession(model)(frames=frames)
    positions = torch.tensor([0, 4, 7, 14])
    extended = append_distances(model, positions)
    distances, patches = OnnxSession(extended)(frames=frames, columns=nearest.columns, weights=nearest.weights)
    onnx.checker.check_model(onnx.load_from_string(extended))
    assert torch.equal(features, 2 * frames)
    chosen = features.flatten(0, 2)[positions]
    torch.testing.assert_close(patches, chosen @ nearest.weights)
    expected = nearest.distances(chosen)
    torch.testing.assert_close(distances, expected, rtol=1e-4, atol=1e-4)
