"""`python -m adkit`, and the `adkit` command."""

from __future__ import annotations

import os
import signal
import sys
from os import _exit  # in code of plugins `os._exit` is another
from typing import TYPE_CHECKING

from adkit.errors import INTERRUPTED, USER_FAULT

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run the `adkit` command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is to be ignored, as after nohup
        signal.signal(signal.SIGINT, _interrupt)
    _open_streams()
    _require_a_folder()
    from adkit.cli import main as run

    run()


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; while something is imported end at once, as torch would abort, and others swallow it."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"interrupted: nothing was left half-written\n")
            _exit(INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


def _require_a_folder() -> None:
    """End where the current folder was deleted: torch cannot be loaded there."""
    try:
        os.getcwd()  # noqa: PTH109 (nothing is imported yet)
    except OSError:
        sys.stderr.write("error: the current folder was deleted\nhint:  change into one that is there\n")
        sys.exit(USER_FAULT)


def _open_streams() -> None:
    """Open what was closed (`2>&-`): else files that are written get its number, and what is printed goes there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


if __name__ == "__main__":
    main()
