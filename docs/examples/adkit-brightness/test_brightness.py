from adkit.registry import load_registry
from adkit.testing import conformance


def test_conforms() -> None:
    conformance.check_method(load_registry().methods.get("brightness").load())
