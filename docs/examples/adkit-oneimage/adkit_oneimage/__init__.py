"""The one image that differs least from all normal ones: the smallest plugin that trains a network."""

from collections.abc import Iterable

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    yield MethodEntry(
        "one_image",
        "the difference to the one image that is most like all normal ones",
        target="adkit_oneimage.method:OneImageMethod",
    )
