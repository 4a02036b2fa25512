"""A running line: a folder that is watched, what was decided, and where that goes."""
