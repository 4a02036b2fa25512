"""The page's HTML: the templates and files in `adkit/ui/assets`. Whatever comes from outside is escaped there."""

from functools import partial
from importlib.resources import files
from typing import Any

from adkit.stats.formatting import moment_text, templates

_TEMPLATES = templates("adkit.ui", "assets", moment=partial(moment_text, local=True))


def text_of(name: str) -> str:
    """Return the file of that name in `adkit/ui/assets` as it is."""
    return (files("adkit.ui") / "assets" / name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Return a template in `adkit/ui/assets` filled in; every value is escaped."""
    return _TEMPLATES.get_template(template).render(values).strip()


def piece(name: str, *values: Any) -> str:
    """Return a macro of pieces.html filled in."""
    macro = getattr(_TEMPLATES.get_template("pieces.html").module, name)
    return str(macro(*values)).strip()


SENDING = text_of("sending.js")
"""For a gr.HTML whose elements with data-send raise its click event; the focus stays when its value is made anew."""
