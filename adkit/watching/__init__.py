"""Watching videos and streams: from frames as they come (`watch`) to scores, events, timelines, annotated videos."""
