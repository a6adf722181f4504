"""The structure that docs/design.md promises, as tests: a red line opens a discussion."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted([*ROOT.glob("csc/**/*.py"), *ROOT.glob("kernels/**/*.py")])
EVERYTHING = sorted([*LIBRARY, *ROOT.glob("demos/**/*.py"), *ROOT.glob("tests/*.py")])

# Who may import whom inside csc; a package stands for all its files.
MAY_IMPORT = {
    "kernels": set(),
    "types": set(),  # which all may import: they are words
    "_device": {"kernels"},
    "_inputs": {"_device"},
    "_validate": {"_device", "_inputs"},
    "free_codes": {"_device"},
    "prices": {"_device"},
    "geometry": {"_device", "_validate"},
    "dictionary": {
        "_device", "_validate", "fourier", "geometry", "html", "lanes", "lipschitz", "patches",
        "sizes",
    },
    "patches": {"_device"},
    "lanes": {"_device", "fourier"},
    "lipschitz": {"_device"},
    "html": {"sheet"},
    "sheet": {"_validate"},
    "progress": {"loop"},
    "versions": set(),
    "sizes": {"_device", "_validate"},
    "sparse": {"_device"},
    "dual": {"_device"},
    "cover": {"_device", "dual"},
    "active_set": {"_device", "dual", "layout", "sparse"},
    "fourier": {"_device"},
    "ridge": set(),
    "layout": {"_device", "sparse"},
    "matching": {"_validate", "dictionary"},
    "measured": {"_validate", "dictionary", "html"},
    "support": {"_device", "layout", "sparse"},
    "strengths": {"_validate"},
    "penalties": {"_device", "_inputs", "_validate", "html", "strengths"},
    "nonconvex": {"_device", "_inputs", "_validate", "html", "strengths"},
    "constraints": {"_device", "_inputs", "_validate"},
    "certify": {"_device", "_inputs", "dictionary", "free_codes"},
    "guarantees": {"_device", "_inputs", "_validate", "dictionary"},
    "testing": {"_device", "dictionary"},
    "problem": {
        "_device", "_inputs", "_validate", "active_set", "certify", "cover", "dictionary",
        "free_codes", "html", "layout", "measured", "nonconvex", "penalties", "prices", "ridge",
        "sparse", "strengths", "support",
    },
    "multilayer_dictionary": {"_device", "_validate", "dictionary", "html"},
    "multilayer_problem": {
        "_device", "_inputs", "_validate", "html", "lanes", "multilayer_dictionary", "problem",
        "strengths",
    },
    "cascade": {"guarantees", "nonconvex", "problem"},
    "samplers": {"_inputs", "_validate", "dictionary", "multilayer_dictionary"},
    "loop": {"sparse"},
    "splitting": set(),
    "solvers": {"_device", "_validate", "cascade", "loop", "nonconvex", "penalties", "splitting"},
    "_memory": set(),
    "solving": {
        "_device", "_memory", "_validate", "dictionary", "html", "loop", "measured",
        "multilayer_problem", "penalties", "problem", "progress", "solvers", "sparse", "strengths",
    },
    "path": {
        "_device", "_validate", "dictionary", "measured", "penalties", "problem", "progress",
        "solving", "sparse", "strengths",
    },
    "learn": {
        "_device", "_inputs", "_memory", "_validate", "constraints", "dictionary", "geometry",
        "layout", "html", "loop", "multilayer_dictionary", "multilayer_problem", "nonconvex",
        "path", "penalties", "problem", "progress", "solvers", "solving", "sparse", "store",
        "strengths",
    },
    "images": {"_inputs", "_validate", "html", "progress"},
    "distributed": {
        "_memory", "_validate", "dictionary", "dual", "geometry", "images", "layout", "learn",
        "loop", "penalties", "problem", "progress", "solving", "sparse", "strengths",
    },
    "receptive_fields": {"_device", "_validate", "html", "kernels", "progress"},
    "comparison": {"_validate", "html", "matching", "plot", "receptive_fields"},
    "plot": {"_validate", "receptive_fields", "sheet"},
    "archive": set(),
    "saved": {"archive"},
    "store": {"archive", "constraints", "dictionary", "learn", "penalties", "saved"},
    "first_layer": {"_validate", "archive", "html"},
    "torch_layers": {"_validate", "dictionary", "geometry", "multilayer_dictionary"},
}  # fmt: skip
HEAVY = {"numba", "sklearn", "skimage", "matplotlib", "cupy", "torch", "onnx", "safetensors"}


def layer(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "kernels" if parts[0] == "kernels" else parts[1]


def imports(path):
    """Full names of the modules that a file imports, at any depth of nesting."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_point_downwards():
    wrong = []
    for path in LIBRARY:
        here = layer(path)
        if here == "__init__":
            continue
        used = {name.split(".")[1] for name in imports(path) if name.startswith("csc.")}
        known = used & set(MAY_IMPORT) - {"types"}  # the rest are names of things, not of modules
        wrong += [f"{path.name}: {u}" for u in known - MAY_IMPORT[here] - {here}]
    assert not wrong


def test_only_the_device_file_names_cupy():
    for path in LIBRARY:
        if layer(path) not in {"_device", "kernels"}:
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


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    source = path.read_text()
    if "tests" not in path.parts:
        assert len(source.splitlines()) <= 450
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert code_lines(node, source) <= 40, node.name


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_things_have_docstrings(path):
    tree = ast.parse(path.read_text())
    for node in [tree, *ast.walk(tree)]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            nested = any(
                node in ast.walk(outer) and node is not outer
                for outer in ast.walk(tree)
                if isinstance(outer, ast.FunctionDef)
            )
            assert nested or ast.get_docstring(node), f"{path.name}: {node.name}"


def test_no_escape_hatches():
    for path in LIBRARY:
        tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        comments = " ".join(t.string for t in tokens if t.type == tokenize.COMMENT)
        assert "no cover" not in comments, path
        assert "type: ignore" not in comments, path


def test_every_kernel_has_a_test():
    tests = "\n".join(p.read_text() for p in ROOT.glob("tests/*.py"))
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
