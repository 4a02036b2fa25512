"""Distances to the nearest row of a bank: exact, as one matrix product and a minimum.

|q - b|² = |q|² + (|b|² - 2 q·b), and the bracket is one product when q gets a last element 1 and b's column is
(-2 b, |b|²). On CPU the product runs in onnxruntime: on two cores it took 0.6 to 0.9 of the time of faiss's
flat index and of torch (benchmarks/neighbours.py), and no other library is then needed. Elsewhere it runs in torch.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

_ROWS = 4096  # queries per product: bounds the memory to _ROWS times the bank's length


class NearestNeighbour:
    """Nearest-neighbour distances to the rows of a float32 (N, D) bank, on the bank's device."""

    def __init__(self, bank: Tensor) -> None:
        squared = bank.square().sum(dim=1, keepdim=True)
        self._columns = torch.cat([-2 * bank, squared], dim=1).T.contiguous()  # (D + 1, N)

    def squared(self, queries: Tensor) -> Tensor:
        """float32 (Q, D) -> (Q,) squared Euclidean distances to the nearest row."""
        return torch.cat([self._block(part)[0] for part in queries.split(_ROWS)])

    def distances(self, queries: Tensor) -> Tensor:
        """float32 (Q, D) -> (Q,) Euclidean distances to the nearest row."""
        return self.squared(queries).sqrt_()

    def nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (Q, D) -> squared distances (Q,) and the index (Q,) of the nearest row, the lowest if tied."""
        blocks = [self._block(part, indices=True) for part in queries.split(_ROWS)]
        return torch.cat([squared for squared, _ in blocks]), torch.cat([index for _, index in blocks])

    def _block(self, queries: Tensor, *, indices: bool = False) -> tuple[Tensor, Tensor]:
        extended = F.pad(queries, (0, 1), value=1.0)
        if queries.device.type == "cpu":
            lowest, index = _product_minimum(extended, self._columns, indices=indices)
        elif indices:
            lowest, index = (extended @ self._columns).min(dim=1)
        else:
            lowest = index = (extended @ self._columns).amin(dim=1)
        return lowest.add_(queries.square().sum(dim=1)).clamp_min_(0), index


def _product_minimum(rows: Tensor, columns: Tensor, *, indices: bool) -> tuple[Tensor, Tensor]:
    """The lowest element in each row of `rows @ columns`, and where it stands if asked for, by onnxruntime."""
    found = _session(indices).run(None, {"rows": rows.numpy(), "columns": columns.numpy()})
    return torch.from_numpy(found[0]), torch.from_numpy(found[-1])


@cache
def _session(indices: bool):  # type: ignore[no-untyped-def]  # onnxruntime has no types
    import onnxruntime
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("MatMul", ["rows", "columns"], ["product"]),
        helper.make_node("ReduceMin", ["product"], ["lowest"], axes=[1], keepdims=0),
    ]
    outputs = [helper.make_tensor_value_info("lowest", TensorProto.FLOAT, ["q"])]
    if indices:
        nodes.append(helper.make_node("ArgMin", ["product"], ["index"], axis=1, keepdims=0))
        outputs.append(helper.make_tensor_value_info("index", TensorProto.INT64, ["q"]))
    inputs = [
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["q", "k"]),
        helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["k", "n"]),
    ]
    graph = helper.make_graph(nodes, "product_minimum", inputs, outputs)
    # Opset 17 is the last whose ReduceMin takes its axes as an attribute; old runtimes know it too.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
