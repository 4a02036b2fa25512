"""The one picture that differs least from all normal ones: the smallest plugin that trains a network."""

from collections.abc import Iterable

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    yield MethodEntry(
        "one_picture",
        "the difference to the one picture that is most like all normal ones",
        target="adkit_onepicture.method:OnePictureMethod",
    )
