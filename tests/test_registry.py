from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from adkit.errors import PluginError
from adkit.registry import GROUP, Registry, load_registry

GOOD = """
from adkit import hookimpl
from adkit.interfaces import MethodEntry, ScorerEntry

@hookimpl
def adkit_methods():
    return [MethodEntry("brightness", "how bright the part is", target="a_module_that_is_nowhere:Brightness")]

@hookimpl
def adkit_scorers():
    yield ScorerEntry("median", "the median pixel", target="json:JSONDecoder")
"""

BROKEN = {
    "raises": ("raise RuntimeError('no licence\\nsecond line')", "RuntimeError: no licence second line"),
    "exits": ("import sys; sys.exit(3)", "ended the program (exit code 3)"),
    "lacks_a_module": ("import a_module_that_is_nowhere", "ModuleNotFoundError: No module named"),
    "syntax": ("def (:", "SyntaxError: invalid syntax"),
    "misspelt": (
        "from adkit import hookimpl\n@hookimpl\ndef adkit_method():\n    return []",
        "unknown hook 'adkit_method'",
    ),
    "wrong_argument": (
        "from adkit import hookimpl\n@hookimpl\ndef adkit_methods(registry):\n    return []",
        "{'registry'} are declared in the hookimpl but can not be found in the hookspec",
    ),
    "no_hook": ("def adkit_methods():\n    return []", "it implements no hook of adkit"),
    "hook_raises": (
        "from adkit import hookimpl\n@hookimpl\ndef adkit_methods():\n    return 1 / 0",
        "ZeroDivisionError: division by zero",
    ),
    "number": ("from adkit import hookimpl\n@hookimpl\ndef adkit_methods():\n    return 5", "TypeError: 'int' object"),
    "nothing": (
        "from adkit import hookimpl\n@hookimpl\ndef adkit_methods():\n    pass",
        "adkit_methods must return MethodEntry records, got None",
    ),
    "text": (
        "from adkit import hookimpl\n@hookimpl\ndef adkit_methods():\n    return 'abc'",
        "adkit_methods must return MethodEntry records, got 'a'",
    ),
    "other_record": (
        "from adkit import hookimpl\nfrom adkit.interfaces import ScorerEntry\n"
        "@hookimpl\ndef adkit_methods():\n    return [ScorerEntry('x', 'x', int)]",
        "adkit_methods must return MethodEntry records, got ScorerEntry(",
    ),
    "name_is_a_list": (
        "from adkit import hookimpl\nfrom adkit.interfaces import MethodEntry\n"
        "@hookimpl\ndef adkit_methods():\n    return [MethodEntry(['x'], 'x', int)]",
        "got MethodEntry(name=['x']",
    ),
    "function_that_loads": (
        "from adkit import hookimpl\nfrom adkit.interfaces import MethodEntry\n"
        "@hookimpl\ndef adkit_methods():\n    return [MethodEntry('old', 'x', lambda: int)]",
        'TypeError: old must name its class, target="package.module:Class", got <function',
    ),
    "load_by_name": (
        "from adkit import hookimpl\nfrom adkit.interfaces import MethodEntry\n"
        "@hookimpl\ndef adkit_methods():\n    return [MethodEntry('old', 'x', load=lambda: int)]",
        'an entry names its class as target="package.module:Class"',
    ),
    "half_good": (
        "from adkit import hookimpl\nfrom adkit.interfaces import MethodEntry\n"
        "@hookimpl\ndef adkit_methods():\n    yield MethodEntry('half', 'x', int)\n    raise OSError('gone')",
        "OSError: gone",
    ),
}

Install = Callable[[str, str], EntryPoint]

_NUMBERS = itertools.count()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a module of the code and gives the entry point of that name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, code: str) -> EntryPoint:
        module = f"adkit_test_plugin_{next(_NUMBERS)}"  # never the same: modules stay in sys.modules
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        return EntryPoint(name, module, GROUP)

    return make


class Distribution:
    """As much of a distribution as an entry point tells."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = "1.2"


def of(distribution: str, point: EntryPoint) -> EntryPoint:
    """The entry point as if that distribution had brought it."""
    vars(point)["dist"] = Distribution(distribution)
    return point


def test_the_installed_plugins_load(registry: Registry) -> None:
    assert registry.broken == []
    assert "patchknn" in registry.methods.names()
    assert registry.methods.origin("patchknn").origin.startswith("patchknn of adkit-vision ")


def test_a_plugin_is_listed_without_being_loaded(install: Install) -> None:
    registry = load_registry([of("acme-vision", install("acme", GOOD))])
    assert registry.methods.names() == ["brightness"]
    assert registry.scorers.names() == ["median"]
    assert registry.methods.get("brightness").summary == "how bright the part is"
    assert registry.methods.origin("brightness").origin == "acme of acme-vision 1.2"


def test_a_file_is_a_plugin_without_being_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / name for name in ("adkit_of_one_file.py", "json.py", "broken.py")]
    for file, code in zip(files, (GOOD.replace("acme", "adkit_of_one_file"), GOOD, "x = ("), strict=True):
        file.write_text(code, encoding="utf-8")
    monkeypatch.setenv("ADKIT_PLUGINS", os.pathsep.join(map(str, files)))
    for _ in range(2):  # each command of a process asks anew
        registry = load_registry()
        version = sha256(files[0].read_bytes()).hexdigest()[:8]
        assert registry.methods.origin("brightness").origin == f"adkit_of_one_file of adkit_of_one_file.py {version}"
        assert {plugin.name: str(plugin.problem).partition(":")[0] for plugin in registry.broken} == {
            "json": "ImportError",
            "broken": "SyntaxError",
        }
    monkeypatch.syspath_prepend(tmp_path)  # as of a script beside it
    sys.modules.pop("adkit_of_one_file")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADKIT_PLUGINS", "adkit_of_one_file.py")
    assert [load_registry().broken, load_registry().broken] == [[], []]
    assert sys.modules.pop("adkit_of_one_file").__file__ == str(files[0])
    assert "broken" not in sys.modules


def test_a_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my-scorer.py"
    code = GOOD.replace("json:JSONDecoder", "my-scorer:Mine") + "\n\nclass Mine(adkit.Scorer):\n    pass\n"
    file.write_text(f"import adkit\n{code}", encoding="utf-8")
    monkeypatch.setenv("ADKIT_PLUGINS", str(file))
    assert load_registry().scorers.get("median").load().__name__ == "Mine"
    del sys.modules["my-scorer"]


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_set_aside_and_named(install: Install, fault: str) -> None:
    code, problem = BROKEN[fault]
    registry = load_registry([install("bad", code), install("good", GOOD)])
    assert [plugin.name for plugin in registry.plugins] == ["bad", "good"]
    (broken,) = registry.broken
    assert broken.name == "bad"
    assert problem in (broken.problem or "")
    assert "\n" not in (broken.problem or "")
    assert registry.methods.names() == ["brightness"]
    assert registry.scorers.names() == ["median"]


def test_what_a_plugin_prints_is_no_result(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    module = install("method", "print('imported')\nBrightness = int").value
    code = "print('hello')\n" + GOOD.replace("a_module_that_is_nowhere", module)
    with pytest.raises(PluginError, match="it is no Method"):
        load_registry([install("talks", code)]).methods.get("brightness").load()
    assert capsys.readouterr() == ("", "hello\nimported\n")


def test_a_module_that_is_not_there_is_named() -> None:
    (broken,) = load_registry([EntryPoint("gone", "a_module_that_is_nowhere", GROUP)]).broken
    assert broken.problem == "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'"


def test_many_broken_plugins_do_not_hide_a_good_one(install: Install) -> None:
    points = [install(name, code) for name, (code, _) in BROKEN.items()]
    registry = load_registry([*points, install("good", GOOD)])
    assert {plugin.name for plugin in registry.broken} == set(BROKEN)
    assert registry.methods.names() == ["brightness"]


def test_an_interrupt_goes_through(install: Install) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_registry([install("slow", "raise KeyboardInterrupt")])


def test_two_plugins_with_one_name_fail_only_when_it_is_used(install: Install) -> None:
    other = GOOD.replace("brightness", "contrast")
    registry = load_registry([of("acme", install("one", GOOD)), of("bolt", install("two", other))])
    assert registry.broken == []
    assert registry.methods.get("brightness").name == "brightness"
    assert registry.methods.get("contrast").name == "contrast"
    with pytest.raises(PluginError, match="two plugins bring a scorer named 'median': ") as caught:
        registry.scorers.get("median")
    assert "one of acme 1.2 and two of bolt 1.2" in caught.value.message


def test_two_distributions_may_use_one_plugin_name(install: Install) -> None:
    other = GOOD.replace("brightness", "contrast")
    registry = load_registry([of("acme", install("same", GOOD)), of("bolt", install("same", other))])
    assert registry.methods.names() == ["brightness", "contrast"]


def test_the_order_of_entry_points_does_not_matter(install: Install) -> None:
    points = [install("b", GOOD.replace("brightness", "contrast")), install("a", GOOD)]
    forwards, backwards = load_registry(points), load_registry(points[::-1])
    assert forwards.plugins == backwards.plugins
    assert forwards.methods.names() == backwards.methods.names()


@pytest.mark.parametrize("question", ["get", "origin"])
def test_an_unknown_name_gets_a_hint(install: Install, question: str) -> None:
    registry = load_registry([install("good", GOOD)])
    with pytest.raises(PluginError, match="there is no method named 'brightnes'") as caught:
        getattr(registry.methods, question)("brightnes")
    assert caught.value.hint == "did you mean brightness? Known: brightness"


@pytest.mark.parametrize(
    ("sort", "name", "problem"),
    [
        ("methods", "brightness", "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'"),
        ("scorers", "median", "TypeError: it is no Scorer"),
    ],
)
def test_a_class_that_cannot_be_had_names_plugin_and_target(
    install: Install, sort: str, name: str, problem: str
) -> None:
    registry = load_registry([of("acme", install("bright", GOOD))])
    entry = getattr(registry, sort).get(name)
    with pytest.raises(PluginError) as caught:
        entry.load()
    assert caught.value.message == f"cannot load {name!r} ({entry.target}) of bright of acme 1.2: {problem}"


def test_a_fit_without_a_workspace_sets_its_own_class_aside_only(install: Install) -> None:
    old = "from adkit import Method\nclass Old(Method):\n    def fit(self, batches, progress):\n        pass\n"
    registry = load_registry([install("old", old + GOOD.replace('"a_module_that_is_nowhere:Brightness"', "Old"))])
    assert (registry.broken, registry.scorers.names()) == ([], ["median"])
    told = r"Old.fit must be fit\(self, batches, progress, workspace\), and is fit\(self, batches, progress\)"
    with pytest.raises(PluginError, match=told):
        registry.methods.get("brightness").load()


def test_a_module_that_exits_while_it_is_loaded_is_a_fault_of_its_plugin(install: Install) -> None:
    module = install("exits", "import sys; sys.exit(0)").value
    registry = load_registry([of("acme", install("bright", GOOD.replace("a_module_that_is_nowhere", module)))])
    with pytest.raises(PluginError, match=r"bright of acme 1.2 ended the program \(exit code 0\)"):
        registry.methods.get("brightness").load()
