"""A form for a method's options, made from their JSON schema; what is filled in goes back as --set KEY=VALUE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from adkit.options import option_rows

Input = Literal["switch", "choice", "whole", "number", "text"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the form."""

    name: str
    input: Input
    default: str  # as --set takes it
    help: str
    bounds: str = ""
    choices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """For people: "learning rate"."""
        return self.name.replace("_", " ")


def entries_of(model: type[BaseModel]) -> list[Entry]:
    """The form of an options model."""
    properties = model.model_json_schema().get("properties", {})
    return [
        Entry(
            row.name,
            _input_of(properties[row.name]),
            row.default,
            row.description,
            row.bounds,
            tuple(map(str, properties[row.name].get("enum", ()))),
        )
        for row in option_rows(model)
    ]


def _input_of(field: Mapping[str, Any]) -> Input:
    if "enum" in field:
        return "choice"
    kinds: dict[str, Input] = {"boolean": "switch", "integer": "whole", "number": "number"}
    return kinds.get(str(field.get("type")), "text")


def changed(entries: Sequence[Entry], values: Sequence[object]) -> dict[str, str]:
    """What was filled in and is not the default, as texts by name; an empty field means the default."""
    found = {}
    for entry, value in zip(entries, values, strict=True):
        text = _text(entry, value)
        if text not in ("", entry.default):
            found[entry.name] = text
    return found


def shown(entry: Entry) -> bool | float | str:
    """The default as the input takes it."""
    if entry.input == "switch":
        return entry.default == "true"
    if entry.input in ("whole", "number"):
        return float(entry.default)
    return entry.default


def _text(entry: Entry, value: object) -> str:
    if value is None:
        return ""
    if entry.input == "switch":
        return "true" if value else "false"
    if isinstance(value, int | float) and float(value) == float(entry.default or "nan"):
        return entry.default  # 1e-05 is 0.00001
    if entry.input == "whole" and isinstance(value, int | float) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
