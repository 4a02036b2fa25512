"""Judges a run on its test split."""
