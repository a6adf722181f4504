"""Every public signature says its types, and type checkers see the names that load lazily.

`make packages` runs mypy, strictly, on typed_use.py against the installed wheel.
"""

import ast
import functools
import inspect
import pydoc
import re
from enum import Enum
from operator import attrgetter
from pathlib import Path

import pytest

import csc
from csc._typing import LayerProblem, LayersProblem, ProblemLike

FUNCTION = {
    property: attrgetter("fget"),
    functools.cached_property: attrgetter("func"),
    classmethod: attrgetter("__func__"),
}
SPECIAL = {"__init__", "__call__", "__len__", "__getitem__", "__iter__", "__and__"}


def public_things():
    """All public names of `csc` and of its public modules, with what they stand for."""
    for name in csc.__all__:
        try:
            thing = getattr(csc, name)
        except ImportError:  # an extra that is not installed
            continue
        if not inspect.ismodule(thing):
            yield f"csc.{name}", thing
            continue
        own = [n for n, v in vars(thing).items() if getattr(v, "__module__", "") == thing.__name__]
        listed = getattr(thing, "__all__", [n for n in own if not n.startswith("_")])
        yield from ((f"csc.{name}.{n}", getattr(thing, n)) for n in listed)


def functions_of(thing):
    """The functions that a user may call, or read as properties."""
    if not inspect.isclass(thing):
        return [thing] if inspect.isfunction(thing) else []
    found = []
    for kind in thing.__mro__:
        if not kind.__module__.startswith("csc."):
            continue
        for name, member in vars(kind).items():
            if name.startswith("_") and name not in SPECIAL:
                continue
            found.append(FUNCTION.get(type(member), lambda m: m)(member))
    return [f for f in found if inspect.isfunction(f)]


def untyped(function):
    """Names of the parameters without a type, and "return"."""
    signature = inspect.signature(function)
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty and name not in ("self", "cls")
    ]
    returns = signature.return_annotation is not signature.empty or function.__name__ == "__init__"
    return missing if returns else [*missing, "return"]


def test_signatures_are_typed():
    functions = {f.__qualname__: f for _, thing in public_things() for f in functions_of(thing)}
    assert {name: untyped(f) for name, f in functions.items() if untyped(f)} == {}


def test_help_prints_types_by_their_short_names():
    """NumPy's types stand for unions of many lines: one signature began with 1,196 characters."""
    functions = {f for _, thing in public_things() for f in functions_of(thing)}
    signatures = [inspect.signature(function) for function in functions]
    kinds = [p.annotation for s in signatures for p in s.parameters.values()]
    kinds += [signature.return_annotation for signature in signatures]
    printed = {inspect.formatannotation(kind) for kind in kinds}
    assert [t for t in printed if "numpy._typing" in t or len(t) > 100] == []
    assert len(str(inspect.signature(csc.sparse_code))) < 400
    assert (
        "x: ArrayLike, atoms: ArrayLike | csc.operators._dictionary.Dictionary"
        in pydoc.render_doc(csc.sparse_code, renderer=pydoc.plaintext)
    )


def unexplained(kind):
    """Fields, or parameters of the constructor, that the docstring has no line for."""
    heads = re.findall(r"^(\w[\w, ]*?)(?: :.*)?$", inspect.getdoc(kind), re.MULTILINE)
    names = getattr(kind, "_fields", None) or inspect.signature(kind).parameters
    named = {name for head in heads for name in head.split(", ")}
    return [name for name in names if name not in named and not name.startswith("_")]


def test_every_field_is_explained():
    kinds = {n: t for n, t in public_things() if inspect.isclass(t) and not issubclass(t, Enum)}
    assert {name: unexplained(kind) for name, kind in kinds.items() if unexplained(kind)} == {}


@pytest.mark.parametrize("kind", [csc.DictionaryLearning, csc.Problem, csc.MultiLayerProblem])
def test_whatever_takes_penalties_names_all(kind):
    own = {n for n in csc.penalties.__all__ if hasattr(getattr(csc.penalties, n), "prox")}
    assert len(own) >= 5
    assert [name for name in own if name not in inspect.getdoc(kind)] == []


def test_a_missing_type_is_found():
    def half(a: int, b):
        return a + b

    assert untyped(half) == ["b", "return"]


def test_type_checkers_see_the_lazy_names():
    source = Path(csc.__file__).with_suffix(".pyi").read_text()
    seen = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == csc._HOME | dict.fromkeys(csc._MODULES, "csc")


PROTOCOLS = [
    (LayerProblem, csc.Problem),
    (LayersProblem, csc.MultiLayerProblem),
    (ProblemLike, csc.Problem),
    (ProblemLike, csc.MultiLayerProblem),
]


@pytest.mark.parametrize(("protocol", "problem"), PROTOCOLS)
def test_problems_have_what_the_protocols_of_solvers_name(protocol, problem):
    members = {n: m for kind in protocol.__mro__ for n, m in vars(kind).items() if n[0] != "_"}
    for name, member in members.items():
        assert hasattr(problem, name) or name in problem.__dataclass_fields__, name
        if inspect.isfunction(member):
            own, asked = (inspect.signature(f).parameters for f in (getattr(problem, name), member))
            assert len(own) >= len(asked), name
            assert {n for n, p in asked.items() if p.kind is not p.POSITIONAL_ONLY} <= {
                *own,
                "self",
            }
