"""Forms for the options of methods."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from adkit.options import Options, option_rows, parse_options
from adkit.registry import Registry
from adkit.ui.train_tab import changed, input_of, value_shown


class Chosen(Options):
    """Every sort of option."""

    epochs: int = Field(default=60, ge=1, description="how long")
    rate: float = Field(default=1e-5, gt=0, description="how fast")
    fast: bool = Field(default=True, description="whether")
    precision: Literal["auto", "32"] = Field(default="auto", description="which")
    backbone: str = Field(default="small", description="what")
    weights: Path | None = Field(default=None, description="where from")


def test_a_form_follows_from_the_options() -> None:
    rows = {row.name: row for row in option_rows(Chosen)}
    inputs = {name: input_of(row) for name, row in rows.items()}
    assert {name: type(one).__name__ for name, one in inputs.items()} == {
        "epochs": "Number",
        "rate": "Number",
        "fast": "Checkbox",
        "precision": "Dropdown",
        "backbone": "Textbox",
        "weights": "Textbox",
    }
    assert (inputs["epochs"].precision, inputs["rate"].precision) == (0, None)
    assert rows["precision"].choices == ("auto", "32")
    assert rows["weights"].choices == ()
    assert rows["epochs"].description == "how long"
    assert rows["epochs"].bounds == "≥ 1"


def test_only_what_was_changed_is_asked_for() -> None:
    rows = option_rows(Chosen)
    assert changed(rows, [value_shown(row) for row in rows]) == {}
    assert changed(rows, [None, None, True, None, "", ""]) == {}
    values = changed(rows, [5, 0.001, False, "32", "large", "net.pth"])
    assert values == {
        "epochs": "5",
        "rate": "0.001",
        "fast": "false",
        "precision": "32",
        "backbone": "large",
        "weights": "net.pth",
    }
    assert parse_options(Chosen, values, "test").epochs == 5


def test_every_installed_method_has_a_form(registry: Registry) -> None:
    for name in registry.methods.names():
        rows = option_rows(registry.methods.get(name).load().Options or Options)
        assert changed(rows, [value_shown(row) for row in rows]) == {}, name
