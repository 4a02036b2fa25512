"""Command lines made from the options that the commands declare: likely ones, odd ones, and ones that cannot be."""

from __future__ import annotations

import os
from typing import Any

import typer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from adkit.cli import COMMANDS, app
from tests.faults.ground import LONGEST_S, Ground, Hung, Tally, at_most, command, outcome_of

LEFT_OUT = {"ui", "demo", "help"}  # they serve, and draw for minutes
ODD = ["", " ", ".", "-", "--", "\u200b", "x" * 300, "é\udcff", "%s", "a,b", "*", "[", "nan", "inf", "None"]
NUMBERS = ["0", "1", "2", "-1", "3.5", "1e999", "nan", str(2**64), "1_0", "٣"]


def _values(name: str, ground: Ground) -> st.SearchStrategy[str]:
    """What a parameter may be given, whether it fits or not."""
    more, parts = ground.folder / "more", ground.folder / "parts"
    places = (ground.folder, ground.run, ground.runs, more, parts, more / "000.png", ground.folder / "out" / "a.csv")
    files = [str(path) for path in (*places, ground.folder / "pipe", ground.folder / "loop", ground.folder / "zero")]
    known = {
        "dataset": [f"folder:{parts}", f"folder:{ground.folder}", "folder:", "demo:", "span:a@0-1", "x"],
        "method": ["steps", "nan", "patchkn"],
        "methods": ["steps", "steps,nan", ",", "steps,steps"],
        "run": ["latest", ground.run.name, "../runs"],
        "runs_named": ["latest", ground.run.name],
        "settings": ["size=64", "=", "a", "size=1e9"],
        "scorer": ["max", "quantile:q=0.5", "quantile:q=2", "own", ":"],
        "max_false_alarms": ["1%", "10%", "6/h", "0", "100%", "1/0"],
        "device": ["cpu", "cuda:99", "auto"],
        "learn": ["0:00-0:10", "5s-1s", "-"],
        "roi": ["0,0,4,4", "1,1,0,0", "part", "a.png", "-1,-1,5,5"],
        "what": ["methods", "runs", "plugins", "metrics"],
        "name": ["steps", "max", "latest", ground.run.name],
        "resume": ["latest"],
    }
    return st.sampled_from([*known.get(name, []), *files]) | st.sampled_from([*ODD, *NUMBERS])


def lines(ground: Ground) -> st.SearchStrategy[list[str]]:
    """Command lines of all commands."""
    group = typer.main.get_command(app)
    context = typer.Context(group)  # type: ignore[arg-type]

    def of(name: str) -> st.SearchStrategy[list[str]]:
        found: Any = group.get_command(context, name).make_context(name, [], resilient_parsing=True).command  # type: ignore[attr-defined]
        parts = []
        for param in found.params:
            values = _values(param.name, ground)
            if param.param_type_name == "argument":
                likely = st.lists(values, min_size=1, max_size=2) if param.nargs != 1 else values.map(lambda one: [one])
                parts.append((likely, 9))
            elif getattr(param, "is_flag", False):
                parts.append((st.just([param.opts[0]]), 1))
            elif param.name not in ("help",):
                often = 6 if param.name in ("method", "methods", "dataset") else 1
                flag = param.opts[0]
                parts.append((values.map(lambda one, flag=flag: [f"{flag}={one}"]), often))
        chosen = [st.integers(0, 9).flatmap(lambda n, p=p, o=o: p if n < o else st.just([])) for p, o in parts]
        return st.tuples(*chosen).map(lambda words: [name, *(word for part in words for word in part)])

    return st.sampled_from(sorted(COMMANDS.keys() - LEFT_OUT)).flatmap(of)


def command_lines(ground: Ground, tally: Tally, count: int) -> None:
    """Type them: no traceback, and documented exit codes only."""
    kept = {"fit": "--runs", "compare": "--output", "inspect": "--sheet", "audit": "--follow"}  # that one never ends

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(lines(ground))
    def type_line(words: list[str]) -> None:
        places = {
            "fit": ["--runs", str(ground.folder / "typed")],
            "compare": ["--output", str(ground.folder / "typed")],
            "inspect": ["--sheet", str(ground.folder / "typed.png")],
            "watch": ["--once"],
        }.get(words[0], [])
        words = [word for word in words if not word.startswith(kept.get(words[0], "\0"))]
        try:
            with at_most(LONGEST_S):
                outcome = outcome_of(command(words[0], *places, *words[1:]))
        except Hung as error:
            outcome = str(error)
        tally.add("command lines", outcome, " ".join(map(repr, words)))

    os.mkfifo(ground.folder / "pipe")
    (ground.folder / "zero").symlink_to("/dev/zero")
    (ground.folder / "loop").symlink_to(ground.folder / "loop")
    type_line()
