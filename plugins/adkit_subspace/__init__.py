"""What normal patch features cannot be explained by (SubspaceAD)."""

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> list[MethodEntry]:
    summary = "what the main directions of normal features leave over: quick, small, few images"
    cost = "one CPU core: 209 images of 384 px learned in 15 s, one judged in 22 ms; model 2 MB"
    return [MethodEntry("subspace", summary, target="adkit_subspace.method:Subspace", cost=cost, draws=False)]
