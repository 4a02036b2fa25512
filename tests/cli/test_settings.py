"""The command line of a fit and its settings mean each other."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from adkit.cli import app
from adkit.cli.options import settings_of
from adkit.errors import OptionError, PromiseError
from adkit.runs.record import FitSettings

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="="), min_size=1)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"))).map(str.strip)
SETTINGS = st.fixed_dictionaries(
    {"method": WORDS, "dataset": st.lists(WORDS, min_size=1, max_size=3).map(tuple)},
    optional={
        "options": st.dictionaries(WORDS, TEXTS, max_size=3),
        "root": WORDS.map(lambda word: "/" + word.replace("/", "")),
        "scorer": WORDS,
        "max_false_alarms": st.sampled_from(["1%", "0.5 %", "0.005", "6/h"]),
        "certain": st.booleans(),
        "percentile": st.floats(0.1, 100),
        "joint": st.booleans(),
        "leave_out": st.lists(WORDS.filter(lambda word: not word.lower().endswith(".txt")), max_size=3).map(tuple),
        "robust": st.booleans(),
        "few": st.integers(1, 10**6),
        "roi": st.sampled_from(["10,20,300,400", "/some/mask.png", "part"]),
        "ignore": st.just("/some/other mask.png"),
        "tiles": st.booleans(),
        "ignore_border": st.integers(0, 100),
        "every": st.integers(1, 10**6),
        "smoothing": st.floats(0, 1e6),
        "seed": st.integers(0, 2**63 - 1),
        "device": st.sampled_from(["auto", "cpu", "cuda:1"]),
        "skip_bad": st.booleans(),
        "name": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}", fullmatch=True).filter(lambda name: name != "latest"),
    },
)


def parsed(words: list[str]) -> FitSettings:
    """What `adkit fit` understands."""
    command: Any = typer.main.get_command(app)
    fit = command.get_command(None, "fit")
    with fit.make_context("fit", list(words)) as context:
        return settings_of(context.params)


@given(SETTINGS)
def test_the_command_line_made_of_settings_is_read_as_those(values: dict[str, Any]) -> None:
    settings = FitSettings(**values)
    assert parsed(settings.command_line()) == settings
    assert parsed(shlex.split(shlex.join(settings.command_line()))) == settings


@given(SETTINGS)
def test_settings_come_back_from_json(values: dict[str, Any]) -> None:
    settings = FitSettings(**values)
    assert FitSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("root", ["/data/.", "/data/", "/data//", Path("/data")])
def test_one_folder_has_one_spelling(root: str | Path) -> None:
    assert FitSettings(method="ae", dataset=("demo:washer",), root=root).root == "/data"


def test_what_is_as_usual_is_left_out() -> None:
    words = FitSettings(
        method="ae", dataset=("demo:washer",), options={"size": (64, 96), "skips": False}
    ).command_line()
    assert words == ["--method", "ae", "--dataset", "demo:washer", "--set", "size=64,96", "--set", "skips=false"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "seed=-1 is refused"),
        ({"seed": 2**64}, "seed=18446744073709551616 is refused"),
        ({"every": 0}, "every=0 is refused"),
        ({"smoothing": float("nan")}, "smoothing=nan is refused"),
        ({"sead": 1}, "sead=1 is refused"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FitSettings(method="ae", **values)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"certain": True}, OptionError),
        ({"percentile": 99, "max_false_alarms": "1%"}, OptionError),
        ({"percentile": 0}, OptionError),
        ({"max_false_alarms": "often"}, PromiseError),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(values: dict[str, Any], fault: type[Exception]) -> None:
    settings = FitSettings(method="ae", **values)
    with pytest.raises(fault):
        settings.rule  # noqa: B018 (raises)
