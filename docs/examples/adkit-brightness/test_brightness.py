import pytest

from adkit.registry import load_registry
from adkit.testing import conformance

CHECKS = conformance.method_checks(load_registry().methods.get("brightness"))


@pytest.mark.parametrize("name", CHECKS)
def test_conforms(name: str) -> None:
    CHECKS[name]()
