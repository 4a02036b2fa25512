"""Finds, opens and decodes images, videos and streams."""
