"""The house: which folder may import which, and how large a part may grow.

These tests read the sources; they do not import the package.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").exists())

#: Lowest first.  A file or folder imports only what stands before it.
KERNELS = (
    "words counters knobs jit draws state doors access_run frames placement balancing "
    "sched lazy fault reclaim damon calls quantum thp"
).split()
ENGINE = (
    "errors observer settings machines doors workloads traces calibrate state results "
    "calls daemons quantum simulation checkpoint warm study output running run"
).split()

#: A layer imports itself and the layers before it.
LAYERS = ("kernels", "engine", "scenarios")

#: Most files directly in a folder.
FILES_MAX = {"kernels": 14, "engine": 14, "scenarios": 24}
LINES_MAX = 650
FUNCTION_LINES_MAX = 65
ARGUMENTS_MAX = 12
DOCS_COLUMNS_MAX = 250
#: Every folder may have one of these.
COMMON_NAMES = {"__init__", "__main__"}


def _sources(*tops: str) -> list[Path]:
    """Return the sources of top folders, Cython's too, relative to the root."""
    paths = (path for top in tops for path in (ROOT / top).rglob("*.p[yx]*"))
    found = (path.relative_to(ROOT) for path in paths)
    return sorted(path for path in found if path.suffix in (".py", ".pyx", ".pxd"))


def _python(*tops: str) -> list[Path]:
    return [path for path in _sources(*tops) if path.suffix == ".py"]


def _folders(*tops: str) -> list[Path]:
    return sorted({path.parent for path in _sources(*tops)})


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def _module(path: Path) -> tuple[str, ...]:
    """Return the dotted name of a file, as parts below the package."""
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {_module(path): path for path in _python(*LAYERS)}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a file runs, functions' bodies too, but not under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if _is_type_checking(child):
            continue
        yield child
        yield from _statements(child)


def _imported(path: Path, node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield the modules that a statement of ``path`` imports from the package."""
    names: list[tuple[str, ...]] = []
    if isinstance(node, ast.Import):
        names = [tuple(alias.name.split(".")) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        module = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            folders = ("lazynuma", *path.parent.parts)
            module = folders[: len(folders) - node.level + 1] + module
        names = [(*module, alias.name) for alias in node.names]
    for name in names:
        if name[0] != "lazynuma":
            continue
        parts = name[1:]
        while parts and parts not in MODULES:
            parts = parts[:-1]
        if parts:
            yield parts


def _imports(*tops: str) -> Iterator[tuple[Path, Path, str]]:
    """Yield (importing file, imported file, place of the statement)."""
    for path in _python(*tops):
        for node in _statements(_tree(path)):
            for name in _imported(path, node):
                yield path, MODULES[name], f"{path}:{node.lineno}"


def _room(path: Path) -> str:
    """Return the file or folder of a layer that a path belongs to."""
    return path.with_suffix("").parts[1]


def _say(wrong: list[str]) -> None:
    assert not wrong, "\n" + "\n".join(sorted(set(wrong)))


@pytest.mark.parametrize(
    "layer, order",
    [("kernels", KERNELS), ("engine", ENGINE)],
    ids=["kernels", "engine"],
)
def test_imports_go_downwards(layer: str, order: list[str]):
    rooms = {_room(path) for path in _python(layer)} - {"__init__"}
    wrong = [
        f"{layer}/{room}: give it a place in {layer.upper()}"
        for room in sorted(rooms - set(order))
    ]
    for source, target, at in _imports(layer):
        if target.parts[0] != layer:
            continue
        user, used = _room(source), _room(target)
        if user == used or not {user, used} <= set(order):
            continue
        if order.index(used) > order.index(user):
            wrong.append(f"{at}: {user} is below {used}; move what both need down")
    _say(wrong)


def test_layers_never_import_upwards():
    _say(
        [
            f"{at}: {source.parts[0]} must not import {target}"
            for source, target, at in _imports(*LAYERS)
            if LAYERS.index(target.parts[0]) > LAYERS.index(source.parts[0])
        ]
    )


def test_no_import_goes_in_a_circle():
    graph: dict[Path, set[Path]] = {}
    for source, target, _ in _imports(*LAYERS):
        if source != target:
            graph.setdefault(source, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(map(str, reversed(error.args[1])))
        pytest.fail(f"break this circle of imports: {circle}")


def test_no_scenario_imports_another():
    _say(
        [
            f"{at}: move what it needs of {target} to scenarios/common"
            for source, target, at in _imports("scenarios")
            if target.parent == Path("scenarios") and target.name != "__init__.py"
            if source != target
        ]
    )


def test_every_file_name_is_used_once():
    paths = [p for p in _sources(*LAYERS, "bench") if p.stem not in COMMON_NAMES]
    count = Counter(path.name for path in paths)
    _say([f"{p}: rename it, or its twin" for p in paths if count[p.name] > 1])


@pytest.mark.parametrize("folder", FILES_MAX)
def test_few_files_lie_flat(folder: str):
    files = [p for p in _sources(folder) if p.parent == Path(folder)]
    most = FILES_MAX[folder]
    assert len(files) <= most, (
        f"{folder}/: {len(files)} files, at most {most}: make a folder"
    )


def test_every_folder_is_worth_one():
    files = Counter(
        p.parent for p in _sources(*LAYERS, "bench") if p.stem != "__init__"
    )
    _say(
        [
            f"{folder}/: one file is no folder; move it up, or put its like beside it"
            for folder, count in sorted(files.items())
            if count == 1
        ]
    )


def test_every_folder_says_what_it_is_for():
    wrong = []
    for folder in _folders(*LAYERS, "bench"):
        init = folder / "__init__.py"
        if not (ROOT / init).exists() or not ast.get_docstring(_tree(init)):
            wrong.append(
                f"{init}: say in a docstring which question the folder answers"
            )
    _say(wrong)


def test_files_are_short():
    wrong = []
    for path in _sources(*LAYERS, "bench"):
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        if lines > LINES_MAX:
            wrong.append(f"{path}: {lines} lines, at most {LINES_MAX}: split it")
    _say(wrong)


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = function.args
    count = len(names.posonlyargs) + len(names.args) + len(names.kwonlyargs)
    return count + (names.vararg is not None) + (names.kwarg is not None)


def test_functions_are_short():
    wrong = []
    for path in _python(*LAYERS, "bench"):
        for node in ast.walk(_tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            at = f"{path}:{node.lineno} {node.name}"
            lines, arguments = node.end_lineno - node.lineno + 1, _arguments(node)
            if lines > FUNCTION_LINES_MAX:
                wrong.append(f"{at}: {lines} lines, at most {FUNCTION_LINES_MAX}")
            if arguments > ARGUMENTS_MAX:
                wrong.append(f"{at}: {arguments} arguments, at most {ARGUMENTS_MAX}")
    _say(wrong)


def test_lines_of_docs_can_be_reviewed():
    wrong = []
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
    for page in pages:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            if len(line) > DOCS_COLUMNS_MAX and not line.lstrip().startswith("|"):
                at = f"{page.relative_to(ROOT)}:{number}"
                wrong.append(
                    f"{at}: {len(line)} characters, at most {DOCS_COLUMNS_MAX}"
                )
    _say(wrong)


def _parts_of_kernels() -> set[str]:
    """Return ``FILE.NAME`` of all functions that machine code alone can call."""
    return {
        f"{path.stem}.{node.name}"
        for path in _python("kernels")
        for node in _tree(path).body
        if isinstance(node, ast.FunctionDef)
        and {ast.unparse(one) for one in node.decorator_list} & {"inlined", "called"}
    }


def test_python_imports_no_part_of_a_kernel():
    # A part has no wrapper for Python, which would end in a segmentation fault.
    parts = _parts_of_kernels()
    _say(
        [
            f"{path}: {name.name} is a part of kernels, not a kernel"
            for path in _python("engine", "scenarios")
            if path.parts[:2] != ("engine", "doors")  # whose functions are compiled
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.ImportFrom)
            for name in node.names
            if f"{(node.module or '').rpartition('.')[2]}.{name.name}" in parts
        ]
    )
