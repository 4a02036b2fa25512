"""How unusual a part's mean brightness is: the smallest complete plugin."""

from collections.abc import Iterable

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    yield MethodEntry(
        "brightness",
        "how unusually bright or dark the whole part is",
        target="adkit_brightness.method:Brightness",  # imported when it is used: listing methods stays fast
    )
