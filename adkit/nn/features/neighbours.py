"""Distances to the nearest row of a bank: exact, as one matrix product and a minimum.

|q - b|² = |q|² + (|b|² - 2 q·b), and the bracket is one product when q gets a last element 1 and b's column is
(-2 b, |b|²). On the CPU this runs in onnxruntime, which is no slower than faiss's flat index or torch's product
(benchmarks/neighbours.py compares them) and needs no other library; elsewhere it runs in torch.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from adkit.nn.features.onnx_session import OnnxSession

_ROWS = 2048  # queries per product: their product with a bank of a few thousand rows stays in the caches
_OPSET = 18  # the first whose reductions take their axes as an input, as the exporter's opset does too


class NearestNeighbour:
    """Nearest-neighbour distances to the rows of a float32 (N, D) bank, on the bank's device.

    Queries are multiplied by `weights` (D,), if there are any; the bank's rows already are.
    """

    def __init__(self, bank: Tensor, weights: Tensor | None = None) -> None:
        squared = bank.square().sum(dim=1, keepdim=True)
        self.columns = torch.cat([-2 * bank, squared], dim=1).T.contiguous()  # (D + 1, N)
        self.weights = torch.ones(bank.shape[1], device=bank.device) if weights is None else weights

    def distances(self, queries: Tensor) -> Tensor:
        """float32 (Q, D) -> (Q,) Euclidean distances to the nearest row."""
        return self.squared(queries).sqrt_()

    def squared(self, queries: Tensor) -> Tensor:
        """float32 (Q, D) -> (Q,) squared Euclidean distances to the nearest row."""
        return torch.cat([self._block(part, indices=False)[0] for part in torch.split(queries, _ROWS)])

    def nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (Q, D) -> squared distances (Q,) and the index (Q,) of the nearest row, the lowest if tied."""
        blocks = [self._block(part, indices=True) for part in torch.split(queries, _ROWS)]
        return torch.cat([block[0] for block in blocks]), torch.cat([block[1] for block in blocks])

    def _block(self, queries: Tensor, *, indices: bool) -> list[Tensor]:
        if queries.device.type == "cpu":
            return _session(indices)(queries=queries, columns=self.columns, weights=self.weights)
        weighted = queries * self.weights
        lowest, index = (F.pad(weighted, (0, 1), value=1.0) @ self.columns).min(dim=1)
        return [lowest.add_(weighted.square().sum(dim=1)).clamp_min_(0), index]


def append_distances(model: bytes) -> bytes:
    """Return an ONNX model that gives features (B, h, w, D), extended to give distances (B, h, w) instead.

    The new inputs are `columns` and `weights` of a NearestNeighbour.
    """
    graph_of = onnx.load_from_string(model)
    graph = graph_of.graph
    features = graph.output[0].name
    nodes, constants = _nodes(features, indices=False)
    nodes += [
        helper.make_node("Sqrt", ["squared"], ["flat_distances"]),
        helper.make_node("Shape", [features], ["grid"], start=0, end=-1),
        helper.make_node("Reshape", ["flat_distances", "grid"], ["distances"]),
    ]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.input.extend(_bank_inputs())
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["b", "h", "w"]))
    return bytes(graph_of.SerializeToString())


@cache
def _session(indices: bool) -> OnnxSession:
    nodes, constants = _nodes("queries", indices=indices)
    outputs = [helper.make_tensor_value_info("squared", TensorProto.FLOAT, ["q"])]
    if indices:
        outputs.append(helper.make_tensor_value_info("index", TensorProto.INT64, ["q"]))
    queries = helper.make_tensor_value_info("queries", TensorProto.FLOAT, ["q", "d"])
    graph = helper.make_graph(nodes, "nearest", [queries, *_bank_inputs()], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    return OnnxSession(model.SerializeToString())


def _bank_inputs() -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["d_plus_1", "n"]),
        helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["d"]),
    ]


def _nodes(features: str, *, indices: bool) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes from features (..., D), `columns` and `weights` to `squared` (Q,), and `index` (Q,) if wanted."""
    constants = {
        "nn_last": np.array([-1]),
        "nn_pads": np.array([0, 0, 0, 1]),
        "nn_one": np.array(1, np.float32),
        "nn_zero": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("Shape", ["weights"], ["nn_length"]),
        helper.make_node("Concat", ["nn_last", "nn_length"], ["nn_flat"], axis=0),
        helper.make_node("Reshape", [features, "nn_flat"], ["nn_queries"]),
        helper.make_node("Mul", ["nn_queries", "weights"], ["nn_weighted"]),
        helper.make_node("Pad", ["nn_weighted", "nn_pads", "nn_one"], ["nn_extended"]),
        helper.make_node("MatMul", ["nn_extended", "columns"], ["nn_product"]),
        helper.make_node("ReduceMin", ["nn_product", "nn_last"], ["nn_lowest"], keepdims=0),
        helper.make_node("ReduceSumSquare", ["nn_weighted", "nn_last"], ["nn_norms"], keepdims=0),
        helper.make_node("Add", ["nn_lowest", "nn_norms"], ["nn_sum"]),
        helper.make_node("Max", ["nn_sum", "nn_zero"], ["squared"]),
    ]
    if indices:
        nodes.append(helper.make_node("ArgMin", ["nn_product"], ["index"], axis=1, keepdims=0))
    return nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]
