"""Layers with non-negative codes, signed atoms below: the model of a network with ReLU."""

import numpy as np
import pytest
from scipy.optimize import minimize

import csc


def relu_problem(deepest_positive=True, mode="circular", n_mid=3, n=12):
    rng = np.random.default_rng(3)
    first = csc.constraints.UnitSphere().project(rng.standard_normal((n_mid, 1, 4)))
    second = csc.constraints.UnitSphere().project(rng.standard_normal((5, n_mid, 3)) + 0.3)
    D = csc.MultiLayerDictionary([csc.Dictionary(a, mode) for a in (first, second)])
    x = rng.standard_normal((2, 1, n))
    penalties = [csc.L1(0.1, positive=True), csc.L1(0.1, positive=deepest_positive)]
    return csc.MultiLayerProblem(x, D, penalties)


def minimum(problem):
    """The constrained minimum of each signal, by a general solver on dense matrices."""
    shape = problem.code_shapes[-1][1:]
    size = int(np.prod(shape))
    basis = np.eye(size).reshape(size, *shape)
    fit, mid, _ = (a.reshape(size, -1).T for a in problem.synthesize_all(basis))
    lmbdas = [p.lmbda for p in problem.penalties]
    total = 0.0
    cost = lmbdas[0] * mid.sum(axis=0) + lmbdas[1]
    for x in problem.x.reshape(len(problem.x), -1):

        def objective(g, x=x):
            r = x - fit @ g
            return 0.5 * r @ r + cost @ g, cost - fit.T @ r

        rule = {"type": "ineq", "fun": lambda g: mid @ g, "jac": lambda g: mid}  # noqa: ARG005
        found = minimize(
            objective, np.zeros(size), jac=True, method="SLSQP", constraints=[rule],
            bounds=[(0, None)] * size, options={"maxiter": 500, "ftol": 1e-12},
        )  # fmt: skip
        total += found.fun
    return total


@pytest.fixture(scope="module")
def best():
    return csc.solve(relu_problem(), tol=1e-5)


@pytest.mark.slow
def test_ml_admm_reaches_the_constrained_minimum(best):
    problem, solution = best.problem, best
    assert solution.converged
    assert all((g >= 0).all() for g in solution.codes)
    assert solution.codes[-1].any()
    mid = problem.dictionary.layers[1](solution.codes[1])
    assert mid.min() >= -1e-4 * mid.max()
    assert solution.objective == pytest.approx(minimum(problem), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "positive"), [("full", True), ("circular", False), ("same", False)]
)
def test_other_modes_and_signed_deepest_codes(mode, positive):
    solution = csc.solve(relu_problem(positive, mode), tol=1e-3)
    assert np.isfinite(solution.objective)
    assert solution.converged
    assert (solution.codes[0] >= 0).all()


@pytest.mark.parametrize(
    "solver",
    [
        csc.solvers.MLISTA(0.2),
        csc.solvers.MLFISTA(0.2),
        csc.solvers.LayeredThresholding(),
        csc.solvers.LayeredBasisPursuit(),
    ],
    ids=lambda solver: type(solver).__name__,
)
def test_other_pursuits_give_codes_that_keep_their_sign(solver, best):
    solution = csc.solve(best.problem, solver, max_iter=300)
    assert all((g >= 0).all() for g in solution.codes)
    assert np.isfinite(solution.objective)
    assert np.isfinite(solution.gap)
    assert solution.objective >= best.objective - best.gap - 1e-9
    assert solution.objective - solution.gap <= best.objective + 1e-9
    if isinstance(solver, csc.solvers.MLISTA):
        assert solution.objective <= 1.1 * best.objective


def test_pursuits_that_cannot_are_refused():
    problem = relu_problem()
    with pytest.raises(ValueError, match="no penalty with positive=True"):
        csc.solve(problem, csc.solvers.ProjectionPursuit([None, 3]))
    with pytest.raises(ValueError, match="no positive=True in a mid layer"):
        csc.solve(problem, csc.solvers.HolisticPursuit(2))


def test_layers_with_lmbdas_of_other_shapes_are_named():
    p = relu_problem()
    with pytest.raises(ValueError, match=r"penalty 2: penalty weights of shape \(4, 1\)"):
        csc.MultiLayerProblem(p.x, p.dictionary, [csc.L1(0.1), csc.L1(0.1, np.ones((4, 1)))])
    with pytest.raises(ValueError, match="penalty 1: group_size must divide"):
        csc.MultiLayerProblem(p.x, p.dictionary, [csc.GroupL21(0.1, 2), csc.L1(0.1)])
