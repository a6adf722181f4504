"""Atoms of several sizes: the same as padded atoms, and the padding is never read."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import csc
from csc.operators import _fft_conv as fourier
from csc.operators._conv_plan import ConvPlan, Method
from reference import lasso as naive

SOLVERS = [
    csc.solvers.WorkingSet(),
    csc.solvers.FISTA(),
    csc.solvers.ISTA(),
    csc.solvers.GreedyFISTA(),
]


def groups_of(rng, dims=2, channels=1, dtype="float64"):
    sizes = [(2, (3, 2, 2)), (3, (1, 4, 1)), (1, (3, 2, 2))]
    shapes = [(k, channels, *size[:dims]) for k, size in sizes]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def pair(rng, mode="full", stride=1, **kinds):
    """A dictionary of several sizes, and the same one that does not know it."""
    D = csc.Dictionary(groups_of(rng, **kinds), mode, stride)
    return D, csc.Dictionary(D.atoms, mode, stride)


@settings(max_examples=60, deadline=None)
@given(
    dims=st.integers(1, 3), channels=st.integers(1, 2), stride=st.integers(1, 2),
    mode=st.sampled_from(["full", "valid", "same", "circular"]), n=st.integers(1, 2),
    dtype=st.sampled_from(["float32", "float64"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_maps_equal_those_of_padded_atoms(dims, channels, stride, mode, n, dtype, seed):
    rng = np.random.default_rng(seed)
    D, padded = pair(rng, mode, stride, dims=dims, channels=channels, dtype=dtype)
    S = (4, 6, 4)[:dims]
    x = rng.standard_normal((n, channels, *S)).astype(dtype)
    z = rng.standard_normal((n, 6, *D.spatial_code_shape(S))).astype(dtype)
    tol = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"atol": 1e-12}
    np.testing.assert_allclose(D(z, S), padded(z, S), **tol)
    np.testing.assert_allclose(D.adjoint(x), padded.adjoint(x), **tol)
    g, whole = D.adjoint_atoms(x, z), padded.adjoint_atoms(x, z)
    inside = csc.Dictionary([np.ones_like(a) for a in groups_of(rng, dims, channels)]).atoms
    np.testing.assert_allclose(g, whole * inside, **tol)
    assert D(z, S).dtype == D.adjoint(x).dtype == g.dtype == dtype
    csc.testing.dot_test(D, S, rng=0)


def test_large_atoms_of_several_sizes_are_transformed(rng, monkeypatch):
    atoms = [rng.standard_normal((3, 1, 900)), rng.standard_normal((2, 1, 700))]
    D = csc.Dictionary(atoms)
    padded, x = csc.Dictionary(D.atoms), rng.standard_normal((1, 1, 4000))
    z = rng.standard_normal((1, 5, 3101))
    assert ConvPlan(D, (4000,)).method is Method.FFT
    np.testing.assert_allclose(D.adjoint(x), padded.adjoint(x), atol=1e-9)
    np.testing.assert_allclose(D(z), padded(z), atol=1e-9)
    monkeypatch.setattr(fourier, "is_faster", lambda *_, **__: True)
    D, padded = csc.Dictionary(atoms), csc.Dictionary(padded.atoms)  # plans are made once
    g, whole = D.adjoint_atoms(x, z), padded.adjoint_atoms(x, z)
    np.testing.assert_allclose(g[3:, :, :700], whole[3:, :, :700], atol=1e-9)
    assert not g[3:, :, 700:].any()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "valid", "same", "circular"])
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_solvers_find_the_dense_lasso(solver, mode, rng):
    D, _ = pair(rng, mode, (2, 1), channels=2)
    x = rng.standard_normal((2, 2, 8, 9))
    problem = csc.Problem(x, D, csc.L1(3.0))
    solution = csc.solve(problem, solver, tol=1e-7, max_iter=20000)
    M = naive.synthesis_matrix(D.atoms, (8, 9), mode, (2, 1))
    for n in range(2):
        z = solution.codes[n].ravel()
        r = x[n].ravel() - M @ z
        assert abs(M.T @ r).max() <= 3 * (1 + 1e-3)
        dual = r / max(1, abs(M.T @ r).max() / 3)
        gap = 0.5 * r @ r + 3 * abs(z).sum() - (x[n].ravel() @ dual - 0.5 * dual @ dual)
        assert gap <= 1e-5 * solution.objective
    assert solution.converged


def test_weights_masks_and_greedy_pursuit_know_the_sizes(rng):
    D, padded = pair(rng)
    x, mask = rng.standard_normal((1, 1, 12, 12)), rng.random((1, 1, 12, 12)) < 0.7
    weights = np.linspace(0.5, 2, 6)[:, None, None]
    answers = []
    for dictionary in (D, padded):
        penalty = csc.L1(0.7, weights=weights, positive=True)
        problem = csc.Problem(x, dictionary, penalty, mask=mask)
        answers.append(csc.solve(problem, tol=1e-9).codes)
    np.testing.assert_allclose(*answers, atol=1e-4)
    greedy = [
        csc.solve(csc.Problem(x, d, csc.L0(1e-6)), csc.solvers.ConvOMP(9)).codes
        for d in (D, padded)
    ]
    assert np.count_nonzero(greedy[0]) == 9
    np.testing.assert_allclose(*greedy, atol=1e-10)


def test_the_padding_is_never_computed(rng):
    D, _ = pair(rng)
    assert [a.shape for _, a in D.parts] == [(2, 1, 3, 2), (3, 1, 1, 4), (1, 1, 3, 2)]
    assert not ConvPlan(D, (9, 9)).has_proximal_step
    object.__setattr__(D, "atoms", np.where(D.atoms == 0, np.nan, D.atoms))
    for name in ("parts", "n_terms"):
        D.__dict__.pop(name)
    x, z = rng.standard_normal((1, 1, 9, 9)), rng.standard_normal((1, 6, 7, 6))
    for a in (D(z), D.adjoint(x), D.adjoint_atoms(x, z)):
        assert np.isfinite(a).all()


def test_sizes_survive_copies_files_and_precision(rng, tmp_path):
    D, _ = pair(rng, "same", dtype="float32")
    csc.save(tmp_path / "d.npz", D)
    copies = [
        csc.load(tmp_path / "d.npz"), pickle.loads(pickle.dumps(D)), D.as_double,
        dataclasses.replace(D, atoms=2 * D.atoms),
    ]  # fmt: skip
    for copy in copies:
        assert copy.sizes == D.sizes
        assert [a.shape for _, a in copy.parts] == [a.shape for _, a in D.parts]
    assert "6 atoms 3x2 and 1x4 and 3x2" in repr(D)


ONE = np.ones((2, 1, 3))


@pytest.mark.parametrize(
    ("atoms", "sizes", "error", "words"),
    [
        ([], None, ValueError, "empty list"),
        ([ONE, np.ones((2, 2, 3))], None, ValueError, "one number of channels"),
        ([ONE, np.ones((2, 1, 3, 3))], None, ValueError, "spatial axes"),
        ([ONE, ONE.astype("float32")], None, ValueError, "one dtype"),
        ([ONE, np.zeros((2, 1, 3))], None, ValueError, r"atoms\[1\] are all zero"),
        ([ONE, 3], None, TypeError, "one a size"),
        (ONE, [(3,)], ValueError, "of the 2 atoms"),
        (ONE, [(3,), (4,)], ValueError, "none larger"),
        (ONE, [(3,), (0,)], ValueError, "none larger"),
        (ONE, [(3,), (2,)], ValueError, "not zero beyond"),
    ],
)
def test_bad_sizes_are_refused(atoms, sizes, error, words):
    with pytest.raises(error, match=words):
        csc.Dictionary(atoms, sizes=sizes)
