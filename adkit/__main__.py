"""`python -m adkit`."""

from adkit.cli import main

if __name__ == "__main__":
    main()
