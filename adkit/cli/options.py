"""The options that several commands share, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from adkit.cli.output import Format as Format
from adkit.cli.output import tell, warn
from adkit.errors import OptionError, said

if TYPE_CHECKING:
    from adkit.registry import Registry
    from adkit.runs.record import FitSettings
    from adkit.runs.store import Run
    from adkit.stats.batch import Decisions
    from adkit.workflows.score import Workplace


def place(*flags: str, help: str, **more: Any) -> Any:  # noqa: A002 (as typer calls it)
    """Declare an option that says where results go: of an empty text pathlib would make the current folder."""

    def named(text: str) -> Path:
        if not text:
            raise OptionError(f"{flags[0]} is empty", hint="name a place for the results")
        return Path(text)

    return Option(*flags, metavar="<path>", parser=named, help=help, **more)


def seconds(flag: str, text: str, default: str) -> Any:
    """Declare an option that takes a length of time."""
    return Option(flag, metavar="SECONDS", min=0, max=1e7, help=text, show_default=default)


def counting(flag: str, text: str, default: str) -> Any:
    """Declare an option that takes a number from 1 on, which its help calls K."""
    return Option(flag, metavar="K", min=1, max=10**6, help=text, show_default=default)


def drift(text: str, default: str | bool = False) -> Any:
    """Declare the option of the share of lines on which an alarm of drift may be wrong."""

    def share(value: str | float) -> float:
        with suppress(ValueError):
            if 0 < float(value) < 1:
                return float(value)
        raise OptionError(f"--drift {value} is no share between 0 and 1", hint="for example 0.01")

    return Option("--drift", metavar="SHARE", parser=share, help=text, show_default=default)


def methods(default: str | bool = True) -> Any:
    """Declare the option that names a method."""
    return Option("--method", "-m", help="How to find anomalies; see: adkit list methods", show_default=default)


def datasets(default: str) -> Any:
    """Declare an option that names datasets, with several categories each."""
    several = f"{_DATASET} Several categories as mvtec:a,b, or the option again."
    return Option("--dataset", "-d", help=several, show_default=default)


def rate(default: str) -> Any:
    """Declare the option of a rate of false alarms."""
    return Option(
        "--max-false-alarms",
        metavar="RATE",
        help="The share of good parts that may be flagged, such as 1%; for videos also how often, such as 6/h. Refused "
        "where the good images or clips are too few.",
        show_default=default,
    )


def print_profile(context: typer.Context, asked: bool) -> bool:
    """Look at what the command does, where that is asked for, and print the stages' times when it ends."""
    if asked:
        context.with_resource(_printed_profile())
    return asked


@contextmanager
def _printed_profile() -> Iterator[None]:
    from adkit.nn.profile import SHOWN, profiled

    profile = None
    try:
        with profiled() as profile:
            yield
    finally:
        if profile:
            tell(f"{profile.total_s:.1f} s, by what the command waited for; and what ran beside it")
            for stage in SHOWN:
                waited, beside = profile.waited_s[stage], profile.beside_s[stage]
                share = f"{waited:8.2f} s {waited / profile.total_s:5.0%}" if waited else " " * 16
                if waited or beside:
                    tell(f"  {stage:<18}{share}{f'{beside:10.2f} s' if beside else ''}".rstrip())


_DATASET = "What to take, as NAME:SELECTION: mvtec:bottle, folder:./parts, demo:washer."
RunArgument = Annotated[str, Argument(metavar="RUN", help="A run: latest, its name, its id, or its path.")]
RunOption = Annotated[str, Option("--run", "-r", help="A run: latest, its name, its id, or its path.")]
RunsOption = Annotated[Path | None, place("--runs", help="Folder of the runs.", show_default="$ADKIT_RUNS or ./runs")]
DatasetOption = Annotated[str, Option("--dataset", "-d", help=_DATASET)]
RootOption = Annotated[
    Path | None,
    Option(
        "--root",
        help="Folder that holds the datasets. A folder:PATH is also found from here, and below $ADKIT_DATA.",
        show_default="$ADKIT_DATA, else ./data and the current folder",
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    Option("--set", "-s", metavar="KEY=VALUE", help="A method's option (score: with --learn); see: adkit show METHOD"),
]
ScorerOption = Annotated[
    str | None,
    Option(
        "--scorer",
        help="How a map becomes a score: max, mean, top1, top5, quantile:q=0.99.",
        show_default="the method's",
    ),
]
DeviceOption = Annotated[str, Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
EngineOption = Annotated[
    str, Option("--engine", help="local; ray or ray=HOST:PORT: the workers of a Ray cluster (extra ray).")
]
SkipBadOption = Annotated[bool, Option("--skip-bad", help="Continue without files that cannot be read; exit 0.")]
ProfileOption = Annotated[bool, Option("--profile", callback=print_profile, help="Print where time went, on stderr.")]
FormatOption = Annotated[Format, Option("--format", "-f", help="How results are printed.")]
RateOption = Annotated[str | None, rate("1%, or the lowest that the good images support")]
CertainOption = Annotated[
    bool,
    Option("--certain", help="Keep --max-false-alarms with 95 % certainty, not only on average: needs more images."),
]
PercentileOption = Annotated[
    float | None,
    Option("--percentile", help="Set the threshold at this percentile of the normal scores: no promise, a habit."),
]
NormalOption = Annotated[
    list[str] | None,
    Option("--normal", "-n", metavar="DIR", help="Images of good parts: a folder, a file or 'glob/*.png'."),
]
LookOption = Annotated[
    str | None,
    Option(
        "--look",
        metavar="RATE",
        help="A third answer, look, for a person: what is normal, but as high as only this share of good parts. 5%.",
    ),
]
RoiOption = Annotated[
    str | None,
    Option(
        "--roi",
        metavar="X,Y,W,H|MASK|part",
        help="Look at this box of every image only, in px from its upper left corner; where this mask is bright; or "
        "around the part, which the good images tell from its ground.",
        show_default="everywhere",
    ),
]
IgnoreOption = Annotated[
    Path | None, Option("--ignore", metavar="MASK", help="Nothing counts where this mask is bright.")
]
IgnoreBorderOption = Annotated[
    int, Option("--ignore-border", metavar="PX", min=0, max=10**6, help="Nothing counts so near to the images' edges.")
]
TilesOption = Annotated[
    bool,
    Option("--tiles", help="See each image at its full resolution, in overlapping tiles: smaller defects, slower."),
]
OutputOption = Annotated[
    Path | None, place("--output", "-o", help="Write the results to this file; .csv, .jsonl and .json name the format.")
]
HeatmapsOption = Annotated[
    Path | None, place("--heatmaps", help="Write a picture of every image, with its heat map, into this folder.")
]


def loaded_registry() -> Registry:
    """Return the installed plugins; each broken one is named in a line on stderr."""
    from adkit.registry import load_registry

    registry = load_registry()
    warn(*(f"plugin set aside: {plugin.origin}: {plugin.problem}" for plugin in registry.broken))
    return registry


def workplace(root: Path | None = None, device: str = "auto", *, skip_bad: bool = False) -> Workplace:
    """Return what is at hand for a command, which shows its progress on stderr."""
    from adkit.cli.terminal import terminal_progress
    from adkit.workflows.score import Workplace

    return Workplace(loaded_registry(), root, device, skip_bad, terminal_progress())


def runs_folder(runs: Path | None) -> Path:
    """Return the folder that --runs names, or the usual one."""
    from adkit.runs.store import default_runs_root

    return runs or default_runs_root()


def opened_run(name: str, runs: Path | None, *, method: str | None = None) -> Run:
    """Open the run that a command line names; raises AdkitError where there is none."""
    from adkit.runs.record import LATEST
    from adkit.runs.store import find_run

    found = find_run(runs_folder(runs), name, method=method)
    if name == LATEST and found.record.created > datetime.now(UTC):
        warn(f"{name} is {found.record.id}, whose time is yet to come; if the clock was set back, name the run")
    return found


def settings_of(parameters: Mapping[str, Any]) -> FitSettings:
    """Read settings from a parsed command line: the inverse of `FitSettings.command_line`; raises OptionError."""
    from adkit.options import split_assignments
    from adkit.runs.record import FitSettings

    named = {name: parameters[name] for name in FitSettings.model_fields if parameters.get(name) is not None}
    options = split_assignments(parameters["settings"] or [], example="--set coreset_ratio=0.05")
    left_out = [name for word in named.get("leave_out", ()) for name in _names_in(word)]
    return FitSettings(**{**named, "options": options, "leave_out": left_out})


def _names_in(word: str) -> list[str]:
    """Return the lines of a text file, or the word itself; raises OptionError for a text file that is not there."""
    from adkit.files.documents import MOST_BYTES, read_file

    path = Path(word)
    if path.suffix.lower() != ".txt":
        return [word]
    try:
        lines = read_file(path, MOST_BYTES).decode(errors="surrogateescape").splitlines()
    except OSError as error:
        hint = "write the names into it, one on each line"
        raise OptionError(
            f"--leave-out {word} cannot be read: {said(error.strerror or str(error))}", hint=hint
        ) from None
    return [line.strip() for line in lines if line.strip()]


def decisions_of(look: str | None, false_share: str | None = None) -> Decisions:
    """Read what decides besides the threshold; raises PromiseError for what is no share."""
    from adkit.stats.batch import Decisions
    from adkit.stats.calibration import parse_rate

    shares = (None if text is None else parse_rate(text) for text in (false_share, look))
    return Decisions(*shares)


def refuse_given(context: typer.Context, parameters: Iterable[str], why: str) -> None:
    """Raise OptionError for the first of these parameters that the command line gives."""
    for parameter in parameters:
        if is_given(context, parameter):
            option = option_of(context, parameter)
            raise OptionError(f"{option} {why}", hint=f"leave {option} out")


def is_given(context: typer.Context, parameter: str) -> bool:
    """Say whether the command line gives the parameter."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def option_of(context: typer.Context, parameter: str) -> str:
    """Return the option that gives a parameter: "--max-false-alarms"."""
    return next(str(one.opts[0]) for one in context.command.params if one.name == parameter)
