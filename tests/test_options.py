from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from adkit.errors import OptionError, PluginError
from adkit.interfaces import Scorer
from adkit.options import Options, option_rows, options_of, parse_options, split_assignments, stored_options
from adkit.runs.record import FitSettings


class Knobs(Options):
    """One option of each sort."""

    ratio: float = Field(default=0.1, gt=0, le=1, description="share of patches that is kept")
    count: int = Field(default=9, ge=1, description="how many neighbours")
    exact: bool = Field(default=False, description="search all of them")
    kind: Literal["mean", "max"] = Field(default="max", description="how they are joined")
    limit: int | None = Field(default=None, ge=2, description="at most so many")
    levels: tuple[int, ...] = Field(default=(8, 16), description="strides in px")
    names: list[str] = Field(default=[], description="what to look for")
    pair: tuple[int, float] = Field(default=(3, 0.5), description="side and share")
    sure: bool | None = Field(default=None, description="whether it is; none: find out")
    near: str | None = Field(default="it", description="beside what")
    weights: dict[str, float] = Field(default={"a": 0.5}, description="of the parts")


UNHURRIED = settings(deadline=None)  # a busy machine is no fault
KEYS = st.text(st.characters(exclude_characters="=", exclude_categories=["Cs"]), min_size=1).filter(
    lambda key: key == key.strip() != ""
)
VALUES = st.text(st.characters(exclude_categories=["Cs"])).map(str.strip)
GAPS = st.sampled_from(["", " ", "  "])


@UNHURRIED
@given(st.dictionaries(KEYS, VALUES), GAPS)
def test_assignments_come_back_as_they_were_written(values: dict[str, str], gap: str) -> None:
    written = [f"{gap}{key}{gap}={gap}{value}{gap}" for key, value in values.items()]
    assert split_assignments(written) == values
    assert list(split_assignments(written)) == list(values)


@UNHURRIED
@given(st.text(st.characters(exclude_characters="=", exclude_categories=["Cs"])))
def test_without_an_equals_sign_it_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="not of the form key=value"):
        split_assignments([text])


@UNHURRIED
@given(GAPS, VALUES)
def test_without_a_key_it_is_refused(gap: str, value: str) -> None:
    with pytest.raises(OptionError, match="not of the form key=value"):
        split_assignments([f"{gap}={value}"])


@UNHURRIED
@given(KEYS, VALUES, VALUES)
def test_a_key_given_twice_is_refused(key: str, first: str, second: str) -> None:
    with pytest.raises(OptionError) as caught:
        split_assignments([f"{key}={first}", f" {key}={second}"])
    assert caught.value.message == f"option {key} is given twice"


def test_the_hint_shows_the_syntax_of_the_one_who_asks() -> None:
    for assignments in (["0.9"], ["q=1", "q=2"]):
        with pytest.raises(OptionError) as caught:
            split_assignments(assignments, example="--scorer quantile:q=0.99")
        assert caught.value.hint.endswith("for example: --scorer quantile:q=0.99")
    with pytest.raises(OptionError) as caught:
        split_assignments(["0.9"])
    assert "--set" not in caught.value.hint


def test_only_the_first_equals_sign_counts() -> None:
    assert split_assignments(["a=b=c", "d="]) == {"a": "b=c", "d": ""}


def test_texts_become_values() -> None:
    texts = {"ratio": "0.5", "count": "3", "exact": "true", "kind": "mean", "limit": "7"}
    assert parse_options(Knobs, texts, "knn") == Knobs(ratio=0.5, count=3, exact=True, kind="mean", limit=7)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("levels", "4, 8", (4, 8)),
        ("levels", "4", (4,)),
        ("names", "", []),
        ("names", "a,none", ["a", "none"]),
        ("pair", "5,0.25", (5, 0.25)),
        ("limit", "none", None),
        ("sure", "none", None),
        ("sure", "false", False),
        ("near", "none", None),
        ("near", "a,b", "a,b"),
        ("weights", '{"à": 1, "b": 2}', {"à": 1.0, "b": 2.0}),
    ],
)
def test_lists_and_what_may_be_none_are_set_by_texts_and_written_as_such(key: str, text: str, value: Any) -> None:
    assert getattr(parse_options(Knobs, {key: text}, "knn"), key) == value
    asked = FitSettings(method="knn", options={key: value})
    assert getattr(parse_options(Knobs, asked.options, "knn"), key) == value
    with pytest.raises(OptionError, match="pair=5 is refused"):
        parse_options(Knobs, {"pair": "5"}, "knn")


def test_defaults_hold() -> None:
    assert parse_options(Knobs, {}, "knn") == Knobs()


def test_an_unknown_option_gets_the_nearest_one() -> None:
    with pytest.raises(OptionError, match="knn has no option 'ration'") as caught:
        parse_options(Knobs, {"ration": "1"}, "knn")
    assert caught.value.hint.startswith("did you mean ratio?")


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("ratio", "0", "ratio takes number > 0, ≤ 1; default 0.1"),
        ("ratio", "1.5", "ratio takes number > 0, ≤ 1; default 0.1"),
        ("ratio", "much", "ratio takes number > 0, ≤ 1; default 0.1"),
        ("count", "0", "count takes whole number ≥ 1; default 9"),
        ("count", "2.5", "count takes whole number ≥ 1; default 9"),
        ("exact", "perhaps", "exact takes true/false; default false"),
        ("kind", "median", "kind takes mean | max; default max"),
        ("limit", "1", "limit takes whole number or none ≥ 2; default none"),
    ],
)
def test_a_refused_value_is_named_with_what_would_do(key: str, value: str, hint: str) -> None:
    with pytest.raises(OptionError, match=f"knn: {key}={value} is refused: ") as caught:
        parse_options(Knobs, {key: value}, "knn")
    assert caught.value.hint == hint


def test_the_table_explains_every_option() -> None:
    rows = {row.name: row for row in option_rows(Knobs)}
    assert list(rows) == list(Knobs.model_fields)
    assert (rows["ratio"].type, rows["ratio"].default, rows["ratio"].bounds) == ("number", "0.1", "> 0, ≤ 1")
    assert (rows["limit"].type, rows["limit"].default, rows["limit"].bounds) == ("whole number or none", "none", "≥ 2")
    assert rows["kind"].type == "mean | max"
    assert rows["exact"].default == "false"
    assert (rows["levels"].type, rows["levels"].default) == ("whole number,…", "8,16")
    assert rows["pair"].type == "whole number,number"
    assert (rows["weights"].type, rows["weights"].default) == ("JSON", '{"a": 0.5}')
    assert rows["count"].description == "how many neighbours"


def test_an_option_without_a_default_is_a_fault_of_the_plugin() -> None:
    class Lacking(Options):
        depth: int

    with pytest.raises(PluginError, match=r"the option depth of .*\.Deep has no default, and every one needs one"):
        options_of(type("Deep", (), {"Options": Lacking, "__module__": "deep"}))


def test_options_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Knobs().count = 3  # type: ignore[misc]


def test_without_options_there_is_an_empty_model() -> None:
    class Plain(Scorer[Any]):
        pass

    class Tuned(Scorer[Knobs]):
        Options = Knobs

    assert options_of(Plain) is Options
    assert options_of(Tuned) is Knobs
    assert option_rows(Options) == []


class GrownKnobs(Knobs):
    """The same in a later release, with an option more; old runs had no margin."""

    since: ClassVar[Mapping[str, Any]] = {"margin": 0.0}
    margin: float = Field(default=0.2, ge=0, description="what is cut away")


def test_an_option_that_was_added_means_for_old_runs_what_the_plugin_says() -> None:
    old = Knobs(count=3).model_dump()
    found = stored_options(GrownKnobs, old, "tuner")
    assert found is not None
    assert (found.count, found.margin) == (3, 0.0)
    assert stored_options(GrownKnobs, GrownKnobs(margin=0.5).model_dump(), "tuner") == GrownKnobs(margin=0.5)
    assert GrownKnobs().margin == 0.2, "what is fitted today has the default of today"


def test_other_options_of_a_run_are_not_guessed() -> None:
    assert stored_options(Knobs, {**Knobs().model_dump(), "gone": 1}, "tuner") is None
    short = Knobs().model_dump()
    del short["count"]
    assert stored_options(Knobs, short, "tuner") is None
    assert stored_options(GrownKnobs, short, "tuner") is None
