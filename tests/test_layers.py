"""The order of layers: a folder imports from its own line and the lines above it."""

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
    ("errors", "types", "adkit"),
    ("files", "containment"),
    ("interfaces",),
    ("hookspecs", "options"),
    ("registry", "nn"),
    ("data", "stats", "synthetic"),
    ("drawing", "runs"),
    ("workflows",),
    ("testing", "watching", "export", "line"),
    ("evaluation", "ui"),
    ("comparison",),
    ("report",),
    ("cli", "python"),
    ("__main__",),
)
"""The lowest first. The page in docs/design.md that draws them is made from this list."""

FOR_PLUGINS = {"adkit", "nn", "data", "synthetic", "files"}
FLAT = 10
"""Files that may lie flat in adkit/."""
HEAVY = (
    "torch",
    "timm",
    "faiss",
    "sklearn",
    "scipy",
    "cv2",
    "av",
    "gradio",
    "fastapi",
    "numpy",
    "markdown_it",
    "pygments",
)


def module_name(path: Path, root: Path) -> str:
    """The dotted name of a file below `root`: `adkit.nn.options`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path, ROOT.parent): path for path in sorted(ROOT.rglob("*.py"))}
PLUGIN_SOURCES = {module_name(path, PLUGINS): path for path in sorted(PLUGINS.rglob("*.py"))}
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs, inside functions too; what only type checkers see is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
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


GRAPH = {module: imports(path) for module, path in (SOURCES | PLUGIN_SOURCES).items()}


def room_of(module: str) -> str:
    """The part of adkit to which a module belongs: `nn` for `adkit.nn.options`."""
    return [*module.split("."), module][1]


def of_adkit(module: str) -> set[str]:
    """The modules of adkit that a module imports."""
    return {name for name in GRAPH[module] if name.split(".")[0] == "adkit"}


def test_every_import_is_of_the_same_line_or_one_above() -> None:
    unplaced = {room_of(module) for module in SOURCES} - RANKS.keys()
    assert not unplaced, "they have no place in the order of layers"
    wrong = [
        (module, name)
        for module in SOURCES
        for name in of_adkit(module)
        if RANKS[room_of(name)] > RANKS[room_of(module)]
    ]
    assert not wrong
    assert "adkit.workflows.fit" in GRAPH["adkit.cli.commands.fit"], "imports inside functions count"


def test_no_modules_and_no_rooms_import_each_other_in_a_circle() -> None:
    modules = {module: of_adkit(module) - {module} for module in SOURCES}
    list(TopologicalSorter(modules).static_order())  # raises CycleError, which names the circle
    rooms: dict[str, set[str]] = {}
    for module, found in modules.items():
        rooms.setdefault(room_of(module), set()).update(room_of(name) for name in found)
    list(TopologicalSorter({room: found - {room} for room, found in rooms.items()}).static_order())


def test_the_core_knows_no_plugin_and_a_plugin_only_what_is_offered_to_it() -> None:
    assert not [(module, name) for module in SOURCES for name in GRAPH[module] if name.startswith("adkit_")]
    for module in PLUGIN_SOURCES:
        own = module.split(".")[0]
        others = {name for name in GRAPH[module] if name.startswith("adkit_") and name.split(".")[0] != own}
        assert not others, f"{module} imports another plugin"
        inner = {name for name in of_adkit(module) if room_of(name) not in FOR_PLUGINS}
        assert not inner, f"{module} imports from inside adkit"


def test_few_files_lie_flat() -> None:
    assert len(list(ROOT.glob("*.py"))) <= FLAT


@pytest.mark.parametrize(
    ("arguments", "not_needed"),
    [
        (["--help"], ["pydantic", "hashlib", "pluggy"]),
        (["--version"], ["pydantic", "hashlib", "pluggy", "rich", "adkit.cli.commands.fit"]),
        (["fit", "--help"], ["adkit.cli.commands.score"]),
        (["list", "methods"], ["adkit.cli.commands.fit", "adkit.cli.commands.score"]),
    ],
)
def test_asking_for_help_or_a_list_loads_nothing_heavy(
    arguments: list[str], not_needed: list[str], tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "from adkit.cli import app\n"
        "try:\n"
        f"    app({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print('loaded:', *(name for name in {(*HEAVY, *not_needed)!r} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
    assert len(done.stdout.splitlines()) > 1, "the command printed nothing"


def test_no_two_classes_share_a_name() -> None:
    named: dict[str, list[str]] = {}
    classes = set[str]()
    for module, path in {**SOURCES, **PLUGIN_SOURCES}.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                classes.add(node.name)
                named.setdefault(node.name, []).append(module)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                named.setdefault(node.targets[0].id, []).append(module)
    assert {name: modules for name, modules in named.items() if name in classes and len(modules) > 1} == {}
