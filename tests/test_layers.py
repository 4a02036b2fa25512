"""The order of layers: a module imports from its own line and the lines above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import adkit

ROOT = Path(adkit.__file__).resolve().parent
PLUGINS = ROOT.parent / "plugins"

LAYERS = (
    ("adkit",),  # the version and the hook marker
    ("errors",),
    ("types",),
    ("interfaces", "hookspecs"),
    ("cache", "storage", "lock", "registry", "options", "ahead", "video"),
    ("frames", "spans", "locations"),
    (
        "batches",
        "runs",
        "calibration",
        "smoothing",
        "statistics",
        "outcomes",
        "sources",
        "nn",
        "overlay",
        "truth",
    ),
    ("clips", "resampling", "answers"),
    ("training_data", "unfinished", "contact_sheet"),
    ("workflows",),
    ("watching",),
    ("normals", "clip_outcomes", "inspection", "reconstructions"),
    ("evaluation",),
    ("recalibration", "audit", "pictures", "comparison", "report", "testing"),
    ("ui",),
    ("cli", "__main__"),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}

FOR_PLUGINS = {
    "adkit",
    "errors",
    "types",
    "interfaces",
    "cache",
    "storage",
    "options",
    "frames",
    "locations",
    "video",
    "nn",
}
DRAWN = {"adkit.testing.parts", "adkit.testing.conveyor"}  # the data of `demo`
HEAVY = ("torch", "timm", "sklearn", "scipy", "cv2", "av", "gradio", "fastapi")


def module_name(path: Path, root: Path) -> str:
    """The dotted name of a file below `root`: `adkit.nn.coreset`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path, ROOT.parent): path for path in sorted(ROOT.rglob("*.py"))}
PLUGIN_SOURCES = {module_name(path, PLUGINS): path for path in sorted(PLUGINS.rglob("*.py"))}


def is_for_types_only(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs, inside functions too; what only type checkers see is left out."""
    for child in ast.iter_child_nodes(node):
        if is_for_types_only(child):
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield other
                yield from statements(other)
        else:
            yield child
            yield from statements(child)


def imports(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, those of `from package import module` included."""
    found: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(inner & SOURCES.keys())
            if inner - SOURCES.keys():
                found.add(node.module)
    return found


def of_adkit(names: set[str]) -> set[str]:
    """Those of the names that are modules of adkit."""
    return {name for name in names if name.split(".")[0] == "adkit"}


def part_of(module: str) -> str:
    """The part of adkit to which a module belongs: `nn` for `adkit.nn.coreset`."""
    return [*module.split("."), module][1]


def test_there_is_something_to_check() -> None:
    assert {"adkit", "adkit.errors", "adkit.nn.coreset", "adkit.cli.commands.fit"} <= SOURCES.keys()
    assert "adkit.errors" in imports(SOURCES["adkit.frames"])
    assert "adkit.workflows" in imports(SOURCES["adkit.cli.commands.fit"])  # although inside a function
    assert "adkit.types" not in imports(SOURCES["adkit.interfaces"])  # for types only


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_from_its_own_line_and_those_above(module: str) -> None:
    part = part_of(module)
    assert part in RANKS, f"{part} has no place in the order of layers"
    below = {name for name in of_adkit(imports(SOURCES[module])) if RANKS[part_of(name)] > RANKS[part]}
    assert not below, f"{module} stands above {sorted(below)}"


@pytest.mark.parametrize("module", [module for module in SOURCES if part_of(module) in ("cli", "ui")])
def test_the_page_and_the_command_line_stand_beside_each_other(module: str) -> None:
    found = {name for name in of_adkit(imports(SOURCES[module])) if part_of(name) in ("cli", "ui")}
    if part_of(module) == "ui":
        assert not {name for name in found if part_of(name) == "cli"}
    elif module != "adkit.cli.commands.ui":
        assert not {name for name in found if part_of(name) == "ui"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: of_adkit(imports(path)) - {module} for module, path in SOURCES.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert order.index("adkit.errors") < order.index("adkit.workflows")


@pytest.mark.parametrize("module", SOURCES)
def test_adkit_knows_no_plugin(module: str) -> None:
    assert not {name for name in imports(SOURCES[module]) if name.startswith("adkit_")}


@pytest.mark.parametrize("module", PLUGIN_SOURCES)
def test_a_plugin_imports_only_what_is_offered_to_plugins(module: str) -> None:
    found = imports(PLUGIN_SOURCES[module])
    others = {name for name in found if name.startswith("adkit_") and name.split(".")[0] != module.split(".")[0]}
    assert not others, f"{module} imports another plugin"
    inner = {name for name in of_adkit(found) if part_of(name) not in FOR_PLUGINS and name not in DRAWN}
    assert not inner, f"{module} imports from inside adkit"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"], ["list", "methods"]])
def test_asking_for_help_or_a_list_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from adkit.cli import app\n"
        "try:\n"
        f"    app({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
    assert len(done.stdout.splitlines()) > 1, "the command printed nothing"
