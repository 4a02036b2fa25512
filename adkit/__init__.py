"""adkit: visual anomaly detection that learns from good examples only.

Plugin authors need four modules: `adkit.interfaces` (what to write), `adkit.types` (what is passed),
`adkit.nn` (ready-made parts in torch) and `adkit.testing` (checks to run over a plugin).
"""

import pluggy

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("adkit")
"""Marks a function of a plugin as the implementation of one of the hooks in `adkit.hookspecs`."""
