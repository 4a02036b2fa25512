"""Draws heat maps and contact sheets."""
