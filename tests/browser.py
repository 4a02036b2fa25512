"""Whether a browser plays a video: asked of a headless Chromium, where there is one."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

_PAGE = b"<!doctype html><title>play</title><video id=video muted preload=auto></video>"
_PLAY = """
async ([name, seconds]) => {
  const video = document.getElementById('video');
  const known = new Promise((resolve, reject) => {
    video.onerror = () => reject(new Error(video.error.message));
    if (video.readyState >= 1) resolve(); else video.onloadedmetadata = resolve;
  });
  // As a whole: without the server's help, which Python's does not give, a browser cannot seek in what it loads.
  video.src = URL.createObjectURL(await (await fetch(name)).blob());
  await known;
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const spread = () => {
    pen.drawImage(video, 0, 0);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    let low = 255, high = 0;
    for (let i = 0; i < pixels.length; i += 4 * 97) {
      low = Math.min(low, pixels[i]); high = Math.max(high, pixels[i]);
    }
    return high - low;
  };
  let drawn = 0;
  const count = () => { drawn += 1; video.requestVideoFrameCallback(count); };
  video.requestVideoFrameCallback(count);
  await video.play();
  await new Promise(resolve => setTimeout(resolve, 1000 * seconds));
  video.pause();
  const sought = new Promise(resolve => video.onseeked = resolve);
  const played = video.currentTime;
  video.currentTime = video.duration / 2;
  await sought;
  return {duration: video.duration, width: video.videoWidth, height: video.videoHeight, drawn, played,
          spread: spread(), at: video.currentTime};
}
"""


@dataclass(frozen=True)
class Played:
    """What the browser saw of a video."""

    duration: float  # seconds
    width: int
    height: int
    drawn: int  # frames that were shown while it played
    played: float  # the time that it came to
    spread: int  # between the darkest and the brightest pixel in the middle of it
    at: float  # the time of that middle


def played(path: Path, seconds: float = 2.0) -> Played:
    """Plays the video in a browser for so long; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: set $CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api")
    (path.parent / "play.html").write_bytes(_PAGE)
    with _served(path.parent) as port, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{port}/play.html")
            found = page.evaluate(_PLAY, [path.name, seconds])
        finally:
            browser.close()
    return Played(**found)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's word)
        return None


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[int]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
