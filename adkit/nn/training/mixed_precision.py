"""Mixed precision that keeps inputs whole. Apart, because Lightning Fabric takes a second to import."""

from __future__ import annotations

from typing import Any

from lightning_fabric.plugins.precision import MixedPrecision


class FullInputs(MixedPrecision):
    """Casts inside the network only: a target in bfloat16 would have lost half of its grey levels."""

    def convert_input(self, data: Any) -> Any:
        """As it is."""
        return data
