"""`key=value` from the command line to a validated Options model; the table that explains it."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, field_validator

from adkit.errors import OptionError, PluginError, brief, nearest, said
from adkit.interfaces import Method, OptionsType, Scorer


class Options(BaseModel):
    """The base of every options model: unknown keys are refused, values never change.

    Every field has a default, a bound where one makes sense, and a description: the command line's
    `--set` and the table of `adkit show` are made from them.
    """

    # No arguments of the class: of those, mypy without pydantic's plugin asks every subclass to say `frozen` too.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    since: ClassVar[Mapping[str, Any]] = {}
    """What options that were added after a release mean for runs that were fitted before, by their names: the value
    with which such a run scores as it did, whatever the default is for new ones."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _of_text(cls, value: Any, validated: ValidatorFunctionWrapHandler) -> Any:
        """Take the texts of the command line also for none ("none"), lists ("8,16") and what is written as JSON."""
        if value == "none":
            with suppress(ValidationError):
                return validated(None)
        try:
            return validated(value)
        except ValidationError:
            if isinstance(value, str):
                with suppress(ValidationError):
                    return validated([part.strip() for part in value.split(",")] if value else [])
                with suppress(ValidationError, ValueError):
                    return validated(json.loads(value) if value.startswith("{") else value)
            raise

    def sized(self, shape: tuple[int, int]) -> Self:
        """Return the options for images of this (height, width) px, as a run keeps them; by default the same."""
        return self

    @property
    def finest_px(self) -> float | None:
        """Say how many px of a frame the smallest defect takes that is seen in it; None where nobody knows."""
        return None


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One line of the help table."""

    name: str
    type: str
    default: str
    bounds: str
    description: str
    choices: tuple[str, ...] = ()  # all that it may be; () where anything can be typed


def split_assignments(assignments: Iterable[str], example: str = "ratio=0.05") -> dict[str, str]:
    """Read `["a=1", "b=x"]` as a dict; raises OptionError, whose hint shows the `example`, for what is no such text."""
    values: dict[str, str] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            raise OptionError(f"{assignment!r} is not of the form key=value", hint=f"for example: {example}")
        if key in values:
            raise OptionError(f"option {key} is given twice", hint=f"keep one {key}=…; for example: {example}")
        values[key] = value.strip()
    return values


def parse_options(model: type[OptionsType], values: Mapping[str, Any], owner: str) -> OptionsType:
    """Read `values` as the owner's options; raises OptionError for an unknown key or a bad value."""
    for key in values:
        if key not in model.model_fields:
            raise OptionError(f"{owner} has no option {key!r}", hint=nearest(key, model.model_fields))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "options"
        row = next((row for row in option_rows(model) if row.name == key), None)
        hint = f"see: adkit show {owner}"
        if row and row.type == "text" and row.description:
            hint = f"{key}: {row.description}; default {row.default}"
        elif row:
            hint = f"{key} takes {' '.join(filter(None, (row.type, row.bounds)))}; default {row.default}"
        raise OptionError(f"{owner}: {key}={values.get(key)!s} is refused: {said(first['msg'])}", hint=hint) from None


def stored_options(model: type[OptionsType], stored: Mapping[str, Any], owner: str) -> OptionsType | None:
    """Return a run's options as the plugin understands them today; None where they were other ones.

    An option that the run does not know must be in the model's `since`: a default that was not there at fitting would
    change the scores, and the threshold would not follow.
    """
    known = set(model.model_fields)
    added: Mapping[str, Any] = getattr(model, "since", {})
    missing = known - set(stored)
    if set(stored) - known or missing - set(added):
        return None
    return parse_options(model, {**{name: added[name] for name in missing}, **stored}, owner)


def options_of(plugin: type[Method[Any]] | type[Scorer[Any]]) -> type[BaseModel]:
    """Return the options model of a method or scorer, an empty one for none; PluginError where it is not sound."""
    declared: Any = plugin.Options or Options
    if not (isinstance(declared, type) and issubclass(declared, BaseModel)):
        told = (
            f"Options of {plugin.__module__}.{plugin.__qualname__} is {brief(declared)}, not a class of adkit.Options"
        )
        raise PluginError(told, hint="tell its author, or uninstall that plugin")
    model: type[BaseModel] = declared
    if lacking := next((name for name, field in model.model_fields.items() if field.is_required()), None):
        owner = f"{plugin.__module__}.{plugin.__qualname__}"
        told = f"the option {lacking} of {owner} has no default, and every one needs one"
        raise PluginError(told, hint="tell its author, or uninstall that plugin")
    return model


def option_rows(model: type[BaseModel]) -> list[OptionRow]:
    """Return the options of a model as a table, made from its JSON schema."""
    schema = model.model_json_schema()
    defaults = model().model_dump(mode="json")
    return [
        OptionRow(
            name=name,
            type=_type_of(field),
            default=option_text(defaults[name]),
            bounds=_bounds(field),
            description=field.get("description", ""),
            choices=tuple(map(str, field.get("enum", ()))),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _type_of(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join("none" if part.get("type") == "null" else _type_of(part) for part in field["anyOf"])
    if items := field.get("prefixItems", [field["items"]] if "items" in field else []):
        return ",".join(map(_type_of, items)) + (",…" if "items" in field else "")
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true/false", "object": "JSON"}
    return words.get(str(field.get("type")), str(field.get("type", "text")))


def option_text(value: Any) -> str:
    """Write an option's value as the command line takes it."""
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(option_text, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(field: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    parts = [field, *field.get("anyOf", [])]
    return ", ".join(f"{sign} {part[key]}" for key, sign in signs.items() for part in parts if key in part)
