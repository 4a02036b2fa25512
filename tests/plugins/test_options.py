from __future__ import annotations

from adkit.options import option_rows, options_of
from adkit.registry import Registry


def test_every_number_that_a_method_takes_has_a_least_and_a_most(registry: Registry) -> None:
    unbounded = [
        f"{name}: {row.name}"
        for name in registry.methods.names()
        for row in option_rows(options_of(registry.methods.get(name).load()))
        if "number" in row.type and not ({"≥", ">"} & set(row.bounds) and {"≤", "<"} & set(row.bounds))
    ]
    assert unbounded == []
