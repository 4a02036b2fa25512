"""Watching videos and streams: from frames as they come to scores, events, timelines and annotated videos.

`watch` is the whole walk. `events` and `regions` say when and where;
`event_files`, `timeline` and `annotation` tell it.
"""
