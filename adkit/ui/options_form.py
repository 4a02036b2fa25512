"""A form for a method's options; what is filled in goes back as --set KEY=VALUE."""

from collections.abc import Sequence
from typing import Literal

from adkit.options import OptionRow

Input = Literal["switch", "choice", "whole", "number", "text"]


def input_of(row: OptionRow) -> Input:
    """Return which input takes the option."""
    kinds: dict[str, Input] = {"true/false": "switch", "whole number": "whole", "number": "number"}
    return "choice" if row.choices else kinds.get(row.type, "text")


def shown(row: OptionRow) -> bool | float | str:
    """Return the default as the input takes it."""
    kind = input_of(row)
    if kind == "switch":
        return row.default == "true"
    return float(row.default) if kind in ("whole", "number") else row.default


def changed(rows: Sequence[OptionRow], values: Sequence[object]) -> dict[str, str]:
    """Return what was filled in and is not the default, as texts by name; an empty field means the default."""
    texts = [(row, _text(row, value)) for row, value in zip(rows, values, strict=True)]
    return {row.name: text for row, text in texts if text not in ("", row.default)}


def _text(row: OptionRow, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if value == float(row.default or "nan"):
            return row.default  # 1e-05 is 0.00001
        value = int(value) if input_of(row) == "whole" and float(value).is_integer() else value
    return "" if value is None else str(value).strip()
