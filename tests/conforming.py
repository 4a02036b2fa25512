"""All checks of a method that one fit serves, in one test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adkit.interfaces import Method
from adkit.testing.conformance import method_checks


def check_method(method: type[Method[Any]], options: Mapping[str, Any] | None = None) -> None:
    for name, check in method_checks(method, options).items():
        if name != "leaks":
            check()
