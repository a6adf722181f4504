"""Patches and signals with few codes in an l1 ball, against the optimality conditions of dense matrices."""

import numpy as np
import pytest

import csc
from csc.kernels.cpu import l1_ball_gram
from csc.solvers import FISTA, WorkingSet, fastest
from reference import lasso as naive


def problem_of(radius, rng, dtype="float64", mask=None):
    D = csc.Dictionary(rng.standard_normal((3, 1, 4)).astype(dtype))
    x = rng.standard_normal((4, 1, 12)).astype(dtype)
    x[2] = 0
    return csc.Problem(x, D, csc.L1Ball(radius), mask)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("radius", [0.01, 1.0, 3.0, 1e3])
def test_codes_meet_the_optimality_conditions(radius, masked, rng):
    mask = np.arange(12) % 5 > 0 if masked else None
    problem = problem_of(radius, rng, mask=mask)
    assert isinstance(fastest(problem), WorkingSet)
    solution = csc.solve(problem, tol=1e-9)
    assert solution.converged, solution
    assert solution.n_iter <= 3
    seen = np.ones(12) if mask is None else mask
    M = naive.synthesis_matrix(problem.dictionary.atoms, (12,), "full", (1,)) * seen[:, None]
    for signal, codes in zip(problem.x, solution.codes, strict=True):
        x, z = seen * signal.ravel(), codes.ravel()
        q = M.T @ (x - M @ z)
        assert abs(z).sum() <= radius * (1 + 1e-9)
        if abs(z).sum() < radius * (1 - 1e-6):
            assert abs(q).max() <= 1e-4
        else:
            np.testing.assert_allclose((q * np.sign(z))[z != 0], abs(q).max(), atol=1e-4)
    assert not solution.codes[2].any()


@pytest.mark.parametrize("radius", [0.1, 2.0, 1e3])
def test_gaps_of_the_kernel_are_those_of_dense_matrices(radius, rng):
    M, X = rng.standard_normal((6, 15)), rng.standard_normal((5, 6))
    M[:, 3] = M[:, 2]  # atoms that depend on each other
    for rounds in (0, 2, 1000):
        z, gap = np.empty((5, 15)), np.empty(5)
        options = 1e-10, rounds
        l1_ball_gram(M.T @ M, X @ M, (X * X).sum(axis=1), radius, options, z, gap)
        r = X - z @ M.T
        dense = radius * abs(r @ M).max(axis=1) - np.einsum("ni,ni->n", r, z @ M.T)
        inside = abs(z).sum(axis=1) <= radius * (1 + 1e-11)
        np.testing.assert_allclose(gap[inside], dense[inside], atol=1e-10)
        assert np.isinf(gap[~inside]).all()
    half = 0.5 * (r * r).sum(axis=1)
    assert ((gap <= 1e-10 * half) | (half < 1e-20)).all()


def test_sets_of_atoms_do_not_alternate():
    for seed in range(60):  # without bounds on lambda, some of these never end
        rng = np.random.default_rng(seed)
        n, k = rng.integers(2, 8), rng.integers(2, 20)
        M, X = rng.standard_normal((n, k)), rng.standard_normal((5, n))
        z, gap = np.empty((5, k)), np.empty(5)
        for radius in (0.7, 2.0):
            l1_ball_gram(M.T @ M, X @ M, (X * X).sum(axis=1), radius, (1e-9, 200), z, gap)
            value = 0.5 * ((X - z @ M.T) ** 2).sum(axis=1)
            assert ((gap <= 1e-9 * value) | (value < 1e-15)).all()
            assert (abs(z).sum(axis=1) <= radius * (1 + 1e-11)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_patches_are_solved_by_default(dtype, rng):
    D = csc.Dictionary(rng.standard_normal((9, 1, 4)).astype(dtype))
    problem = csc.Problem(rng.standard_normal((3, 1, 4)).astype(dtype), D, csc.L1Ball(0.7))
    assert isinstance(fastest(problem), WorkingSet)
    solution = csc.solve(problem, tol=1e-6)
    assert solution.converged
    assert solution.codes.dtype == dtype
    theirs = csc.solve(problem, FISTA(), tol=1e-6)
    assert solution.objective == pytest.approx(theirs.objective, rel=2e-6)


def test_single_precision_and_any_start(rng):
    problem = problem_of(2.0, rng, "float32")
    solution = csc.solve(problem, tol=1e-5)
    assert solution.converged
    assert solution.codes.dtype == "float32"
    theirs = csc.solve(problem, FISTA(), tol=1e-5)
    assert solution.objective == pytest.approx(theirs.objective, rel=2e-5)
    start = 9 * rng.standard_normal(solution.codes.shape).astype("f4")
    again = csc.solve(problem, tol=1e-5, init=start)
    assert again.objective == pytest.approx(solution.objective, rel=2e-5)
