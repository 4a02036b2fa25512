"""`python -m adkit`, and the `adkit` command."""

import os
import sys

from adkit.errors import INTERRUPTED, USER_FAULT


def main() -> None:
    """Run the `adkit` command; Ctrl-C while it is still loaded ends it without a traceback."""
    try:
        _open_streams()
        _require_a_folder()
        from adkit.cli import main as run

        run()
    except KeyboardInterrupt:
        os.write(2, b"interrupted: nothing was begun\n")
        os._exit(INTERRUPTED)


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
