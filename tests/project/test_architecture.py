"""The structure that docs/design.md promises, as tests: a red line opens a discussion."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted([*ROOT.glob("csc/**/*.py"), *ROOT.glob("kernels/**/*.py")])
EVERYTHING = sorted([*LIBRARY, *ROOT.glob("demos/**/*.py"), *ROOT.glob("tests/**/*.py")])

# Which packages of csc a package may import. The modules of csc whose names begin with "_" but for
# FRONT, and the kernels, are open to all; docs/design.md draws this table.
MAY_IMPORT = {
    "kernels": set(),
    "utilities": set(),
    "constraints": set(),
    "operators": set(),
    "penalties": set(),
    "data_terms": set(),
    "images": set(),
    "certificates": {"data_terms", "operators", "penalties"},
    "problems": {"data_terms", "operators", "penalties", "certificates"},
    "theory": {"operators"},
    "datasets": {"operators"},
    "solvers": {"data_terms", "operators", "penalties", "certificates", "problems", "theory"},
    "front": {"data_terms", "operators", "penalties", "certificates", "problems", "solvers"},
    "io": {"data_terms", "operators", "penalties", "constraints", "learning"},
    "learning": {
        "constraints", "data_terms", "operators", "penalties", "certificates", "problems", "solvers",
        "front", "io",
    },
    "distributed": {
        "data_terms", "operators", "penalties", "certificates", "problems", "solvers", "front", "learning",
        "images",
    },
    "nn": {"operators", "penalties", "problems", "solvers", "front"},
    "analysis": {"operators"},
    "plot": {"analysis"},
    "interop": {"operators", "io"},
    "restoration": {"constraints", "operators", "learning", "images"},
    "testing": {"operators"},
}  # fmt: skip
FRONT = {"_solve", "_lmbda_search"}
HEAVY = {"numba", "sklearn", "skimage", "matplotlib", "cupy", "torch", "onnx", "safetensors"}


def layer(path):
    """The row of MAY_IMPORT that a file belongs to."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "kernels" if parts[0] == "kernels" else room(parts[1])


def room(name):
    if name in FRONT:
        return "front"
    return "utilities" if name.startswith("_") and name != "__init__" else name


@cache
def imports(path):
    """Full names of the modules that a file imports, at any depth of nesting."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def test_imports_follow_the_table():
    wrong = []
    for path in LIBRARY:
        here = layer(path)
        if here == "__init__":
            continue
        used = {room(name.split(".")[1]) for name in imports(path) if name.startswith("csc.")}
        known = used & set(MAY_IMPORT) - {"kernels", "utilities"}
        wrong += [f"{path.relative_to(ROOT)}: {u}" for u in known - MAY_IMPORT[here] - {here}]
    assert not wrong


def test_packages_import_only_public_modules_of_others():
    wrong = []
    for path in (p for p in LIBRARY if p.parts[len(ROOT.parts)] == "csc"):
        here = path.relative_to(ROOT).parts[1]
        for name in imports(path):
            parts = name.split(".")
            if len(parts) > 2 and parts[0] == "csc" and parts[1] not in {here, "kernels"}:
                package = (ROOT / "csc" / parts[1]).is_dir()
                if package and any((ROOT / "csc" / parts[1]).glob(f"{parts[2]}.py")):
                    wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert not wrong


def test_the_top_level_is_small():
    files = [p for p in (ROOT / "csc").glob("*.py") if p.name != "__init__.py"]
    assert len(files) <= 15


def test_packages_have_a_map():
    for path in ROOT.glob("csc/*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        for word in ("Here:", "May import:", "A new "):
            assert word in text, f"{path}: {word}"


def test_only_the_device_file_names_cupy():
    for path in LIBRARY:
        if path.name != "_backend.py" and layer(path) != "kernels":
            assert not any(name.split(".")[0] == "cupy" for name in imports(path)), path


def test_import_is_light_and_quick():
    code = "import sys, csc; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert not HEAVY & set(loaded)


def code_lines(node, source):
    """Lines of a function that are neither docstring, comment nor blank."""
    body = node.body
    if ast.get_docstring(node) is not None:
        body = body[1:]
    if not body:
        return 0
    lines = source.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def too_long(path):
    """The file, if it is too long, and its functions that are."""
    source = path.read_text()
    if "tests" not in path.parts and len(source.splitlines()) > 600:
        yield f"{path}: {len(source.splitlines())} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and code_lines(node, source) > 60:
            yield f"{path}: {node.name}"


def test_files_and_functions_are_short():
    assert [what for path in EVERYTHING for what in too_long(path)] == []


def public_definitions(node):
    """Public functions and classes, those inside of classes too, none inside of functions."""
    for child in ast.iter_child_nodes(node):
        definition = isinstance(child, ast.FunctionDef | ast.ClassDef)
        if definition and not child.name.startswith("_"):
            yield child
        if not isinstance(child, ast.FunctionDef):
            yield from public_definitions(child)


def test_public_things_have_docstrings():
    without = [
        f"{path.name}: {node.name}"
        for path in LIBRARY
        for node in public_definitions(ast.parse(path.read_text()))
        if not ast.get_docstring(node)
    ]
    assert without == []


def test_no_escape_hatches():
    for path in LIBRARY:
        if not re.search("no cover|type: ignore", path.read_text()):
            continue  # most files, and tokens take time
        tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        comments = " ".join(t.string for t in tokens if t.type == tokenize.COMMENT)
        assert "no cover" not in comments, path
        assert "type: ignore" not in comments, path


def test_every_kernel_has_a_test():
    tests = "\n".join(p.read_text() for p in ROOT.glob("tests/**/*.py"))
    for path in ROOT.glob("kernels/cpu/__init__.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    assert alias.name in tests, f"kernel {alias.name} is not named in any test"


def test_the_oldest_versions_are_those_that_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["demos"], *extras["distributed"], *extras["test"]]
    least = dict(re.sub(r"\[.*\]", "", one).split(">=") for one in asked if ">=" in one)
    lines = (ROOT / "tests/oldest.txt").read_text().splitlines()
    pinned = dict(line.split("  #")[0].split("==") for line in lines if not line.startswith("#"))
    for name, version in least.items():
        assert re.fullmatch(rf"{re.escape(version)}(\.0)*", pinned[name]), name
