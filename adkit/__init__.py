"""adkit: visual anomaly detection that learns from good examples only.

Plugin authors need few modules: `adkit.interfaces` (what to write), `adkit.types` (what is passed),
`adkit.options` (the base of options), `adkit.errors` (what to raise where the user can mend it), `adkit.nn`
(ready-made parts in torch), and in tests `adkit.testing` (checks to run over a plugin). `adkit.data.images`,
`adkit.files.cache` and `adkit.files.atomic` read pictures and keep files. The rest may change without notice.
"""

import pluggy

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("adkit")
"""Marks a function of a plugin as the implementation of one of the hooks in `adkit.hookspecs`."""
