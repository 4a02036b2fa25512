"""Draws made-up images and videos, for the demo and for tests."""
