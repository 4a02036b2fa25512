"""A Gaussian of normal patch features at every position (PaDiM)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adkit import hookimpl
from adkit.interfaces import Method, MethodEntry


def _load() -> type[Method[Any]]:
    from adkit_padim.method import Padim

    return Padim


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    """Announces `padim`."""
    return [MethodEntry("padim", "a Gaussian of normal features at every position (PaDiM): for aligned parts", _load)]
