"""Grid files and lists of methods: what they mean, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from adkit.comparison.grid import Plan, candidates_of, read_grid
from adkit.errors import OptionError
from adkit.options import options_of, parse_options
from adkit.registry import Registry
from tests.comparison.fakes import one_of

GUIDE = Path(__file__).parents[2] / "docs" / "comparing.md"


def read(folder: Path, text: str) -> Plan:
    path = folder / "grid.toml"
    path.write_text(text, encoding="utf-8")
    return read_grid(path)


def refused(folder: Path, text: str) -> OptionError:
    with pytest.raises(OptionError) as caught:
        read(folder, text)
    assert str(folder / "grid.toml") in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_plain_grid_names_methods_and_leaves_the_rest_open(tmp_path: Path) -> None:
    plan = read(tmp_path, "[candidates.patchknn]\n[candidates.ae]\n")
    assert plan == Plan((one_of("patchknn", "patchknn"), one_of("ae", "ae")))
    assert (plan.datasets, plan.seeds, plan.max_false_alarms) == (None, None, None)


def test_a_candidate_is_a_method_with_options_and_scorer_under_a_name_of_its_own(tmp_path: Path) -> None:
    plan = read(
        tmp_path,
        """
        [candidates."small / fast"]
        method = "patchknn"
        options = { bank_limit = 1000, size = "64x64" }
        scorer = "quantile:q=0.9"
        """,
    )
    options = {"bank_limit": 1000, "size": "64x64"}
    assert plan.candidates == (one_of("small / fast", "patchknn", options, scorer="quantile:q=0.9"),)


def test_what_varies_gives_a_candidate_for_every_combination_whose_name_tells_the_values(tmp_path: Path) -> None:
    plan = read(
        tmp_path,
        """
        [candidates.k]
        method = "patchknn"
        options = { bank_limit = 1000 }
        vary = { ratio = [0.01, 0.1], levels = [[8, 16], [8]], fine = [true] }
        """,
    )
    assert [candidate.name for candidate in plan.candidates] == [
        "k ratio=0.01 levels=8,16 fine=True",
        "k ratio=0.01 levels=8 fine=True",
        "k ratio=0.1 levels=8,16 fine=True",
        "k ratio=0.1 levels=8 fine=True",
    ]
    assert {candidate.settings.method for candidate in plan.candidates} == {"patchknn"}
    assert plan.candidates[1].settings.options == {"bank_limit": "1000", "ratio": "0.01", "levels": "8", "fine": "true"}


def test_few_is_a_key_of_its_own_and_may_vary_beside_options(tmp_path: Path) -> None:
    plan = read(tmp_path, "[candidates.a]\nfew = 4\n[candidates.b]\nvary = { x = [1, 2], few = [4, 16] }")
    assert [(candidate.name, candidate.settings.options, candidate.settings.few) for candidate in plan.candidates] == [
        ("a", {}, 4),
        ("b x=1 few=4", {"x": "1"}, 4),
        ("b x=1 few=16", {"x": "1"}, 16),
        ("b x=2 few=4", {"x": "2"}, 4),
        ("b x=2 few=16", {"x": "2"}, 16),
    ]


def test_a_candidate_that_varies_stands_where_it_was_named(tmp_path: Path) -> None:
    plan = read(tmp_path, "[candidates.a]\n[candidates.b]\nvary = { x = [1, 2] }\n[candidates.c]\n")
    assert [candidate.name for candidate in plan.candidates] == ["a", "b x=1", "b x=2", "c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [('"mvtec:bottle,screw"', ("mvtec:bottle,screw",)), ('["mvtec:bottle", "demo:all"]', ("mvtec:bottle", "demo:all"))],
)
def test_datasets_are_a_text_or_a_list(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    assert read(tmp_path, f"datasets = {text}\n[candidates.a]").datasets == expected


@pytest.mark.parametrize(("text", "expected"), [("2", (0, 1)), ("[7, 3]", (7, 3)), ("1", (0,))])
def test_seeds_are_their_number_or_a_list(tmp_path: Path, text: str, expected: tuple[int, ...]) -> None:
    assert read(tmp_path, f"seeds = {text}\n[candidates.a]").seeds == expected


def test_a_rate_of_false_alarms_is_kept_as_it_is_written(tmp_path: Path) -> None:
    assert read(tmp_path, 'max_false_alarms = "5%"\n[candidates.a]').max_false_alarms == "5%"
    assert read(tmp_path, "max_false_alarms = 0.01\n[candidates.a]").max_false_alarms == "0.01"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("sedes = 3\n[candidates.a]", "unknown key sedes", "did you mean seeds?"),
        ("[candidates.a]\nmetod = 'x'", "unknown key candidates.a.metod", "did you mean method?"),
        ("[candidates.a]\nvari = { x = [1] }", "unknown key candidates.a.vari", "did you mean vary?"),
        ("[candidates.a", "is not TOML", "adkit compare --help"),
        ("", "candidates", "adkit compare --help"),
        ("[candidates]", "candidates", "adkit compare --help"),
        ("candidates = ['a']", "candidates", "adkit compare --help"),
        ("[candidates]\na = 3", "candidates.a", "adkit compare --help"),
        ("[candidates.a]\noptions = 3", "candidates.a.options", "adkit compare --help"),
        ("[candidates.a]\nvary = { x = 3 }", "candidates.a.vary.x", "adkit compare --help"),
        ("[candidates.a]\nvary = { x = [] }", "candidates.a: x varies over no value", "vary = {"),
        (
            "[candidates.a]\noptions = { x = 1 }\nvary = { x = [2] }",
            "candidates.a: x stands in options and",
            "vary = {",
        ),
        ("[candidates.a]\nvary = { x = [1, 1] }", "names a x=1 twice", "a name of its own"),
        ("[candidates.a]\nvary = { x = [1] }\n[candidates.'a x=1']", "names a x=1 twice", "a name of its own"),
        ("[candidates.a]\nfew = 0", "candidates.a.few", "adkit compare --help"),
        ("[candidates.a]\nfew = true", "candidates.a.few", "adkit compare --help"),
        ("[candidates.a]\nfew = 4\nvary = { few = [2] }", "candidates.a: few stands beside vary and in it", "vary = {"),
        ("[candidates.a]\nvary = { few = [2, 0] }", "candidates.a: few is 0, expected a number of images", "vary = {"),
        ("[candidates.a]\nvary = { few = ['2'] }", "candidates.a: few is '2', expected a number", "vary = {"),
        ("max_false_alarms = true\n[candidates.a]", "max_false_alarms", "adkit compare --help"),
        ("seeds = 0\n[candidates.a]", "seeds is 0, expected their number", "seeds = 3"),
        ("seeds = -1\n[candidates.a]", "seeds is -1, expected", "seeds = 3"),
        ("seeds = []\n[candidates.a]", "seeds is [], expected", "seeds = 3"),
        ("seeds = [0, -1]\n[candidates.a]", "seeds is [0, -1], expected", "seeds = 3"),
        ("seeds = true\n[candidates.a]", "seeds is True, expected", "seeds = 3"),
        ("seeds = '3'\n[candidates.a]", "seeds is '3', expected", "seeds = 3"),
        ("datasets = []\n[candidates.a]", "datasets is [], expected a text or a list", "mvtec:bottle"),
        ("datasets = [1]\n[candidates.a]", "datasets is [1], expected a text or a list", "mvtec:bottle"),
    ],
)
def test_a_grid_that_cannot_be_meant_is_refused_with_its_file_and_key(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    error = refused(tmp_path, text)
    assert message in error.message
    assert hint in error.hint


def test_the_same_candidate_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    assert "is not TOML" in refused(tmp_path, "[candidates.a]\n[candidates.a]").message


def test_a_grid_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nowhere\.toml cannot be read"):
        read_grid(tmp_path / "nowhere.toml")
    with pytest.raises(OptionError, match="cannot be read"):
        read_grid(tmp_path)
    (tmp_path / "grid.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match=r"grid\.toml cannot be read"):
        read_grid(tmp_path / "grid.toml")


def test_the_example_in_the_guide_is_a_grid_of_patchknn(tmp_path: Path, registry: Registry) -> None:
    example = GUIDE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    plan = read(tmp_path, example)
    assert len(plan.candidates) == 9
    assert plan.candidates[-1].settings.ignore_border == 20
    model = options_of(registry.methods.get("patchknn").load())
    for candidate in plan.candidates:
        assert candidate.settings.method == "patchknn"
        parse_options(model, candidate.settings.options, candidate.settings.method)


def test_methods_on_the_command_line_are_candidates_with_their_defaults() -> None:
    assert candidates_of(" patchknn, ae,") == (one_of("patchknn", "patchknn"), one_of("ae", "ae"))


@pytest.mark.parametrize("text", ["", " ", ",,"])
def test_no_method_on_the_command_line_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="no method is named"):
        candidates_of(text)


def test_a_method_named_twice_on_the_command_line_is_refused() -> None:
    with pytest.raises(OptionError, match="--methods names patchknn twice") as caught:
        candidates_of("patchknn,ae,patchknn")
    assert "a name of its own" in caught.value.hint
