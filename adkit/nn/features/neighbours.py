"""Distances to the nearest row of a bank: exact, as one matrix product and a minimum.

|q - b|² = |q|² + (|b|² - 2 q·b), and the bracket is one product when q gets a last element 1 and b's column is
(-2 b, |b|²). On the CPU this runs in onnxruntime, which is no slower than faiss's flat index or torch's product
(benchmarks/neighbours.py compares them) and needs no other library; elsewhere it runs in torch.
"""

from functools import cache

import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper, parser
from torch import Tensor

from adkit.nn.features.index import Index
from adkit.nn.features.onnx_session import OnnxSession

LEAST_DISTANCE = 0.01
"""Patches that are nearer are the same patch: less is the rounding of larger numbers, and another graph's or another
processor's is another. Weighted features have a variance of one in each level."""

_ROWS = 2048  # queries per product: their product with a bank of a few thousand rows stays in the caches
# The first opset whose reductions take their axes as an input, as the exporter's does too.
_NEAREST = """
<ir_version: 8, opset_import: ["" : 18]>
nearest (float[q, d] queries, float[d_plus_1, n] columns, float[d, d] weights) => (float[q] squared)
<int64[1] nn_last = {-1}, int64[4] nn_pads = {0, 0, 0, 1}, float nn_one = {1}, float nn_zero = {0}>
{
  nn_length = Shape <start = 1> (weights)
  nn_flat = Concat <axis = 0> (nn_last, nn_length)
  nn_queries = Reshape(queries, nn_flat)
  nn_weighted = MatMul(nn_queries, weights)
  nn_extended = Pad(nn_weighted, nn_pads, nn_one)
  nn_product = MatMul(nn_extended, columns)
  nn_lowest = ReduceMin <keepdims = 0> (nn_product, nn_last)
  nn_norms = ReduceSumSquare <keepdims = 0> (nn_weighted, nn_last)
  nn_sum = Add(nn_lowest, nn_norms)
  squared = Max(nn_sum, nn_zero)
}"""
"""From queries (..., D), `columns` and `weights` to squared distances (Q,)."""
_PRODUCT = """
<ir_version: 8, opset_import: ["" : 18]>
product (float[q, d] queries, float[d, n] columns) => (float[q, n] product) { product = MatMul(queries, columns) }"""
"""Half the time of torch's product, on processors of AMD."""


class NearestNeighbour:
    """Nearest-neighbour distances to the rows of a float32 (N, D) bank, or those an `index` of it finds, on its device.

    Queries are multiplied by the matrix `weights` (D, D), if there is one; the bank's rows already are.
    """

    def __init__(self, bank: Tensor, weights: Tensor | None = None, index: Index | None = None) -> None:
        squared = bank.square().sum(dim=1, keepdim=True)
        self.columns = torch.cat([-2 * bank, squared], dim=1).T.contiguous()  # (D + 1, N)
        self.weights = torch.eye(bank.shape[1], device=bank.device) if weights is None else weights
        self._weighs = weights is not None
        self.index = index

    def distances(self, queries: Tensor) -> Tensor:
        """Turn float32 (Q, D) into (Q,) Euclidean distances to the nearest row."""
        return self.squared(queries).sqrt_()

    def squared(self, queries: Tensor) -> Tensor:
        """Turn float32 (Q, D) into (Q,) squared Euclidean distances to the nearest row."""
        if self.index is not None:
            return self.index.nearest(self.weighted(queries))[0][:, 0].to(queries.device)
        parts, bank = torch.split(queries, _ROWS), {"columns": self.columns, "weights": self.weights}
        on_cpu = queries.device.type == "cpu"
        return torch.cat([_session()(queries=part, **bank)[0] if on_cpu else self.in_torch(part) for part in parts])

    def products(self, queries: Tensor) -> Tensor:
        """Turn float32 (Q, D) into (Q, N) squared distances to all rows, less each query's own squared length."""
        extended = F.pad(self.weighted(queries), (0, 1), value=1.0)
        if queries.device.type != "cpu":
            return extended @ self.columns
        return _product()(queries=extended, columns=self.columns)[0]

    def in_torch(self, queries: Tensor) -> Tensor:
        """Turn (..., D) into (...) squared distances to the nearest row, all in one product, as an export needs it."""
        weighted = self.weighted(queries)
        lowest = (F.pad(weighted, (0, 1), value=1.0) @ self.columns).amin(dim=-1)
        return (lowest + weighted.square().sum(dim=-1)).clamp_min(0)

    def weighted(self, queries: Tensor) -> Tensor:
        """Multiply queries (..., D) by the weights, if there are any."""
        return queries @ self.weights if self._weighs else queries


def append_distances(model: bytes, positions: Tensor) -> bytes:
    """Extend a model of features (1, h, w, D) to distances (K,) and weighted patches (K, D) at `positions` (K,).

    The new inputs are `columns` and `weights` of a NearestNeighbour.
    """
    extended = onnx.load_from_string(model)
    graph, nearest = extended.graph, parser.parse_model(_NEAREST).graph
    length = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    graph.node.append(helper.make_node("Reshape", [graph.output[0].name, "patches_shape"], ["patches"]))
    graph.node.append(helper.make_node("Gather", ["patches", "positions"], ["queries"], axis=0))
    graph.node.extend(nearest.node)
    graph.node.append(helper.make_node("Sqrt", ["squared"], ["distances"]))
    graph.initializer.extend(nearest.initializer)
    for name, tensor in (("patches_shape", torch.tensor([-1, length])), ("positions", positions)):
        graph.initializer.append(numpy_helper.from_array(tensor.numpy(), name))
    graph.input.extend(nearest.input[1:])
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["k"]))
    graph.output.append(helper.make_tensor_value_info("nn_weighted", TensorProto.FLOAT, ["k", "d"]))
    return bytes(extended.SerializeToString())


@cache
def _session() -> OnnxSession:
    return OnnxSession(parser.parse_model(_NEAREST).SerializeToString())


@cache
def _product() -> OnnxSession:
    return OnnxSession(parser.parse_model(_PRODUCT).SerializeToString())
