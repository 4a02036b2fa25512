"""Rows as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def csv_text(rows: Rows, columns: Sequence[str] = (), *, header: bool = True) -> str:
    """Return rows as CSV, with the names of the columns, or of the first row's; of a list, how many it holds."""
    buffer = io.StringIO()
    if names := columns or [name for row in rows[:1] for name in row]:
        writer = csv.DictWriter(buffer, fieldnames=names, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows({key: len(one) if isinstance(one, list) else one for key, one in row.items()} for row in rows)
    return buffer.getvalue()
