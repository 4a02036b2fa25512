"""What a plugin's code raises while it is checked, as a sentence that names both."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

Checked = TypeVar("Checked")


def told(check: Callable[[Checked], None]) -> Callable[[Checked], None]:
    """Have a check raise AssertionError, which names it and the plugin, for whatever the plugin's code raises."""

    @wraps(check)
    def checked(plugin: Checked) -> None:
        try:
            check(plugin)
        except AssertionError:
            raise
        except (Exception, SystemExit) as error:
            name = getattr(plugin, "__name__", type(plugin).__name__)
            where = check.__name__.removeprefix("_").removeprefix("check_")
            raise AssertionError(f"{name}, checked for {where}, raised {type(error).__name__}: {error}") from error

    return checked
