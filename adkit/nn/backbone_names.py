"""Names of backbones that options need without importing torch."""

EMBEDDED = "efficientnet_lite0"
"""The backbone whose weights arrive with pip."""
