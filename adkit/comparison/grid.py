"""What is compared: candidates (a method with options), categories and seeds; from names or from a TOML file.

`docs/comparing.md` shows such a file, and says what its keys mean.
"""

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, ValidationError

from adkit.errors import OptionError, brief, nearest, said
from adkit.files.documents import MOST_BYTES, read_file
from adkit.runs.record import FitSettings, RateText

DEFAULT_SEEDS = 3
FEW = "few"
"""The key of a candidate that may vary although it is no option of the method."""
_Seed = Annotated[StrictInt, Field(ge=0)]
_Positive = Annotated[StrictInt, Field(ge=1)]
_EITHER = {
    "datasets": ("a text or a list of texts", 'datasets = ["mvtec:bottle,screw"]'),
    "seeds": ("their number, at least 1, or a list of them, each at least 0", "seeds = 3"),
}
"""What the keys with a choice of sorts take, and an example."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is compared: the settings of fits, but for what a comparison says itself."""

    name: str
    settings: FitSettings

    def asked(self, seed: int, max_false_alarms: str | None, device: str = "auto") -> FitSettings:
        """Return what a fit of it is asked for."""
        said = {"seed": seed, "max_false_alarms": max_false_alarms, "device": device}
        return FitSettings(**self.settings.model_dump(exclude_unset=True) | said)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a grid file asks for; None where it leaves the choice to the command line."""

    candidates: tuple[Candidate, ...]
    datasets: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    max_false_alarms: str | None = None


class _CandidateTable(BaseModel, extra="forbid"):
    method: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    vary: dict[str, list[Any]] = Field(default_factory=dict)
    scorer: str | None = None
    few: _Positive | None = None
    roi: str | None = None
    ignore: str | None = None
    ignore_border: int | None = Field(default=None, ge=0)
    tiles: bool | None = None


class _GridFile(BaseModel, extra="forbid"):
    candidates: dict[str, _CandidateTable] = Field(min_length=1)
    datasets: str | Annotated[list[str], Field(min_length=1)] | None = None
    seeds: _Positive | Annotated[list[_Seed], Field(min_length=1)] | None = None
    max_false_alarms: RateText | None = None


def candidates_of(methods: str) -> tuple[Candidate, ...]:
    """Return the candidates of a list such as "patchknn,ae": each method with its defaults."""
    names = [name.strip() for name in methods.split(",") if name.strip()]
    if not names:
        raise OptionError("no method is named", hint="for example: --methods patchknn,padim; see: adkit list methods")
    return _unique([Candidate(name, FitSettings(method=name)) for name in names], "--methods")


def read_grid(path: Path) -> Plan:
    """Return the plan in a TOML file; raise OptionError for a file that cannot be read or says something unknown."""
    try:
        content = tomllib.loads(read_file(path, MOST_BYTES).decode())
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise OptionError(f"the grid file {path} cannot be read: {error}", hint="name a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"the grid file {path} is not TOML: {error}", hint="see: adkit compare --help") from None
    return plan_of(content, str(path))


def plan_of(content: Mapping[str, Any], where: str) -> Plan:
    """Return the plan in the keys of a grid file; raise OptionError, which says `where` they stand, for another one."""
    try:
        table = _GridFile.model_validate(content)
    except ValidationError as error:
        raise _explained(where, content, error) from None
    candidates = [one for name, entry in table.candidates.items() for one in _expanded(name, entry, where)]
    return Plan(
        _unique(candidates, where),
        (table.datasets,) if isinstance(table.datasets, str) else tuple(table.datasets) if table.datasets else None,
        tuple(range(table.seeds)) if isinstance(table.seeds, int) else tuple(table.seeds) if table.seeds else None,
        table.max_false_alarms,
    )


def _expanded(name: str, entry: _CandidateTable, where: str) -> list[Candidate]:
    """Return one candidate, or one for every combination of the options, and numbers of images, that vary."""
    empty = [key for key, values in entry.vary.items() if not values]
    both = sorted(entry.vary.keys() & entry.options.keys())
    odd = [value for value in entry.vary.get(FEW, ()) if type(value) is not int or value < 1]
    what = None
    if empty:
        what = f"{empty[0]} varies over no value"
    elif both:
        what = f"{both[0]} stands in options and in vary"
    elif entry.few is not None and FEW in entry.vary:
        what = f"{FEW} stands beside vary and in it"
    elif odd:
        what = f"{FEW} is {odd[0]!r}, expected a number of images, at least 1"
    if what:
        raise OptionError(f"{where}: candidates.{name}: {what}", hint="for example: vary = { ratio = [0.01, 0.1] }")
    own = {"method": name, **entry.model_dump(exclude_none=True, exclude={"vary"})}
    combinations = itertools.product(*entry.vary.values())
    found = []
    for values in combinations:
        varied = dict(zip(entry.vary, values, strict=True))
        label = " ".join([name, *(f"{key}={_text(value)}" for key, value in varied.items())])
        few = {FEW: varied.pop(FEW)} if FEW in varied else {}
        found.append(Candidate(label, FitSettings(**own | few | {"options": entry.options | varied})))
    return found


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _unique(candidates: Sequence[Candidate], where: str) -> tuple[Candidate, ...]:
    names = [candidate.name for candidate in candidates]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise OptionError(f"{where} names {twice[0]} twice", hint="each candidate needs a name of its own")
    return tuple(candidates)


def _explained(path: str, content: Mapping[str, Any], error: ValidationError) -> OptionError:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    key = str(first["loc"][0])
    if key in _EITHER:  # pydantic speaks of the first sort only
        expected, example = _EITHER[key]
        return OptionError(
            f"{path}: {key} is {brief(content[key])}, expected {expected}", hint=f"for example: {example}"
        )
    if first["type"] == "extra_forbidden":
        model = _GridFile if len(first["loc"]) == 1 else _CandidateTable
        return OptionError(f"{path}: unknown key {where}", hint=nearest(str(first["loc"][-1]), model.model_fields))
    return OptionError(f"{path}: {where}: {said(first['msg'])}", hint="see: adkit compare --help")
