"""Writes to disk, whole or not at all."""
