"""Signals with few codes in an l1 ball, against the optimality conditions of dense matrices."""

import numpy as np
import pytest

import csc
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
