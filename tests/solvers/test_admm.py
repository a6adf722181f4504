"""ADMM, iterate by iterate against dense matrices, and to a certified gap."""

import numpy as np
import pytest

import csc
from csc.operators._fourier_solve import CirculantGram
from reference import lasso as naive

SHAPES = [((9,), (4,), 1), ((5, 7), (3, 2), 2), ((4, 3, 5), (2, 3, 2), 3), ((6, 6), (6, 1), 1)]


def problem(rng, S, s, c, penalty, k=3):
    D = csc.Dictionary(rng.standard_normal((k, c, *s)), "circular")
    return csc.Problem(rng.standard_normal((2, c, *S)), D, penalty)


@pytest.mark.parametrize(("S", "s", "c"), SHAPES)
@pytest.mark.parametrize("k", [1, 3])
def test_the_ridge_system_is_solved(rng, S, s, c, k):
    p = problem(rng, S, s, c, csc.L1(0.1), k)
    z = p.structure.solve_ridge(np.zeros(p.code_shape), 0.3)
    M = naive.synthesis_matrix(p.dictionary.atoms, S, "circular")
    for ours, x in zip(z, p.x, strict=True):
        theirs = np.linalg.solve(M.T @ M + 0.3 * np.eye(M.shape[1]), M.T @ x.ravel())
        np.testing.assert_allclose(ours.ravel(), theirs, atol=1e-10)


def test_spectra_keep_single_precision(rng):
    atoms = rng.standard_normal((3, 2, 3, 3)).astype("float32")
    b = rng.standard_normal((1, 3, 8, 9)).astype("float32")
    assert CirculantGram.of(atoms, (8, 9)).solve(b, np.float32(1)).dtype == "float32"


@pytest.mark.parametrize("penalty", [csc.L1(0.4), csc.ElasticNet(0.3, 0.5)])
@pytest.mark.parametrize(("rho", "relaxation"), [(0.7, 1.8), (30.0, 1.0)])
def test_iterates_are_those_of_dense_matrices(rng, penalty, rho, relaxation):
    p = problem(rng, (5, 6), (3, 2), 2, penalty)
    p = csc.Problem(p.x[:1], p.dictionary, penalty)
    solver = csc.solvers.ADMM(rho, relaxation)
    state = solver.init(p, p.zeros())
    M = naive.synthesis_matrix(p.dictionary.atoms, (5, 6), "circular")
    for theirs in naive.admm(M, p.x.ravel(), penalty.prox, rho, relaxation, 120):
        state = solver.step(p, state)
        np.testing.assert_allclose(state.z.ravel(), theirs, atol=1e-9)


@pytest.mark.parametrize("penalty", [csc.L1(0.5), csc.GroupL21(0.5, 3), csc.L1(0.5, positive=True)])
def test_gaps_close(rng, penalty):
    p = problem(rng, (9, 8), (3, 3), 1, penalty)
    solution = csc.solve(p, csc.solvers.ADMM(), tol=1e-6)
    assert solution.converged, solution
    reference = csc.solve(p, csc.solvers.FISTA(), tol=1e-8, max_iter=100_000)
    assert solution.objective == pytest.approx(reference.objective, rel=2e-6)


def test_zero_signals_and_single_precision(rng):
    D = csc.Dictionary(rng.standard_normal((2, 1, 3)).astype("float32"), "circular")
    x = np.zeros((1, 1, 8), "float32")
    assert not csc.solve(csc.Problem(x, D, csc.L1(0.1)), csc.solvers.ADMM()).codes.any()
    x[0, 0, 3] = 1
    solution = csc.solve(csc.Problem(x, D, csc.L1(0.1)), csc.solvers.ADMM(), tol=1e-4)
    assert solution.converged
    assert solution.codes.dtype == "float32"


@pytest.mark.parametrize(
    ("mode", "stride", "mask"),
    [("full", 1, None), ("circular", 2, None), ("circular", 1, np.ones(8))],
)
def test_other_problems_are_refused(rng, mode, stride, mask):
    D = csc.Dictionary(rng.standard_normal((2, 1, 3)), mode, stride)
    p = csc.Problem(rng.standard_normal((1, 1, 8)), D, csc.L1(0.1), mask)
    with pytest.raises(ValueError, match="ADMM cannot solve this problem: it needs"):
        csc.solve(p, csc.solvers.ADMM())


@pytest.mark.parametrize(("name", "value"), [("rho", 0.0), ("relaxation", 2.0)])
def test_parameters_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        csc.solvers.ADMM(**{name: value})
