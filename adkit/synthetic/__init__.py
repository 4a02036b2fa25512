"""Draws made-up pictures and films, for the demo and for tests."""
