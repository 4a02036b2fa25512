"""What normal patch features cannot be explained by (SubspaceAD)."""

from collections.abc import Iterable

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    """Announce `subspace`."""
    yield MethodEntry(
        "subspace",
        "what the main directions of normal features leave over: quick, small, few images",
        target="adkit_subspace.method:Subspace",
        cost="one CPU core: 209 images of 384 px learned in 12 s, one judged in 13 ms; model 0.1 MB",
        draws=False,
    )
