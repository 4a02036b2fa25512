"""Keeps on disk what was learned."""
