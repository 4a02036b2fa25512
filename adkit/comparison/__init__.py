"""Comparing methods: the grid, its cells on disk, and the statistics that tell a difference from noise."""
