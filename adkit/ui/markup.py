"""Pieces of HTML that several tabs use. Whatever comes from outside goes through `escape`."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Any

import jinja2

from adkit.stats.calibration import Threshold

SENDING = """
element.addEventListener("click", (event) => {
  const sender = event.target.closest("[data-send]");
  if (sender) trigger("click", JSON.parse(sender.dataset.send));
});
element.addEventListener("focusin", (event) => { element.dataset.last = event.target.dataset?.send ?? ""; });
watch("value", () => {
  if (document.activeElement !== document.body || !element.dataset.last) return;
  const same = [...element.querySelectorAll("[data-send]")].find((one) => one.dataset.send === element.dataset.last);
  same?.focus({ preventScroll: true });
});
"""
"""For a gr.HTML whose elements with data-send raise its click event; the focus stays when its value is made anew."""


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("adkit.ui", "assets"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def text_of(name: str) -> str:
    """Return the file of that name in `adkit/ui/assets` as it is."""
    return (files("adkit.ui") / "assets" / name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Return a template in `adkit/ui/assets` filled in; all values are escaped."""
    return _TEMPLATES.get_template(template).render(values)


def send(what: Mapping[str, Any]) -> str:
    """The attribute that makes an element send this when it is clicked."""
    return f'data-send="{escape(json.dumps(what))}"'


def button(title: str, what: Mapping[str, Any], *, main: bool = False) -> str:
    """A button that sends `what`."""
    return f'<button type="button" class="ak-button{" ak-main" if main else ""}" {send(what)}>{escape(title)}</button>'


def fault(message: str, hint: str) -> str:
    """A fault of the user's in its two lines."""
    return (
        f'<div class="ak-fault ak-bad" role="alert"><p><b>error:</b> {escape(message)}</p>'
        f"<p><b>hint:</b> {escape(hint)}</p></div>"
    )


def empty(title: str, text: str) -> str:
    """What stands where something will be."""
    return f'<div class="ak-empty"><b>{escape(title)}</b>{escape(text)}</div>'


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values."""
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in rows)
    return f'<dl class="ak-facts">{cells}</dl>'


def promise(threshold: Threshold) -> str:
    """A threshold's promise in words, its main clause first."""
    head, _, rest = threshold.promise().partition(", with")
    tail = f"With{rest}." if rest else ""
    return f'<div class="ak-promise"><b>{escape(head[:1].upper() + head[1:])}.</b>{escape(tail)}</div>'


def moment(when: datetime) -> str:
    """A time as people here write it."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """ "40 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def data_uri(content: bytes, kind: str) -> str:
    """The content as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def sortable_table(columns: Sequence[tuple[str, str]], rows: Sequence[tuple[Mapping[str, Any], str]]) -> str:
    """A table whose heads sort it. A column is (key, title); a row is its values by key and its cells' HTML."""
    heads = "".join(
        f'<th scope="col"><button type="button" data-sort-key="{key}">{escape(title)}</button></th>'
        for key, title in columns
    )
    lines = []
    for values, cells in rows:
        data = " ".join(
            f'data-{key}="{escape("" if values.get(key) is None else str(values.get(key)))}"' for key, _ in columns
        )
        current = ' aria-current="true"' if values.get("current") else ""
        lines.append(f"<tr {data}{current}>{cells}</tr>")
    return (
        f'<div class="ak-scroll" data-sorting><table class="ak-table"><thead><tr>{heads}</tr></thead>'
        f"<tbody data-list>{''.join(lines)}</tbody></table></div>"
    )


def sparkline(curves: Mapping[str, Sequence[float]], *, width: int = 640, height: int = 84) -> str:
    """Curves over one axis of epochs, each named at its end; "" when there is nothing to draw."""
    shown = {name: list(values) for name, values in curves.items() if len(values) > 1}
    if not shown:
        return ""
    every = [value for values in shown.values() for value in values]
    low, high = min(every), max(every)
    span, longest = max(high - low, 1e-12), max(map(len, shown.values()))
    right = width - 120
    ink = ("var(--color-accent)", "var(--body-text-color-subdued)")
    parts, taken = [], [-20.0]
    for number, (name, values) in enumerate(shown.items()):
        step = right / (longest - 1)
        ys = [8 + (1 - (value - low) / span) * (height - 16) for value in values]
        path = " ".join(f"{4 + index * step:.1f},{y:.1f}" for index, y in enumerate(ys))
        colour = ink[min(number, 1)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = ys[-1] + 4
        while any(abs(y - other) < 13 for other in taken):
            y += 13 if y < height / 2 else -13
        taken.append(y)
        parts.append(f'<text x="{right + 10}" y="{y:.1f}">{escape(name)} {values[-1]:.4f}</text>')
    label = ", ".join(f"{name} {values[-1]:.4f}" for name, values in shown.items())
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
