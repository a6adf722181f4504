"""The simplex, and codes of a given sum in float32: against points of the set and non-negative least squares."""

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

import csc
from csc.certificates import kkt_violation

SIMPLEX = csc.Simplex()


def test_the_prox_is_no_farther_than_any_other_point(rng):
    v = rng.standard_normal((2, 6, 3))
    u = SIMPLEX.prox(v, 1.3)
    assert SIMPLEX.value(u) == 0
    assert 0 < (u == 0).sum() < u.size
    others = rng.dirichlet(np.full(18, 0.3), (3000, 2)).reshape(-1, 2, 6, 3)
    near = 0.99 * u + 0.01 * others  # the set is convex
    for z in (others, near):
        assert (((z - v) ** 2).sum(axis=(2, 3)) >= ((u - v) ** 2).sum(axis=(1, 2)) - 1e-12).all()


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"mode": "circular"}], ids=repr)
def test_solutions_are_those_of_non_negative_least_squares(options, rng):
    D = csc.Dictionary(rng.standard_normal((3, 2, 2, 2)), **options)
    x = 0.5 * rng.standard_normal((2, 2, 4, 5))
    solution = csc.solve(csc.Problem(x, D, SIMPLEX), tol=1e-7, max_iter=20_000)
    assert solution.converged
    n = solution.codes[0].size
    columns = D(np.eye(n).reshape(n, *solution.codes.shape[1:]), (4, 5)).reshape(n, -1).T
    for own, z in zip(x.reshape(2, -1), solution.codes, strict=True):
        weights = nnls(np.vstack([columns, np.full(n, 1e5)]), np.append(own, 1e5))[0]
        best = 0.5 * ((own - columns @ weights) ** 2).sum()
        found = 0.5 * ((own - columns @ z.ravel()) ** 2).sum()
        assert found == pytest.approx(best, rel=1e-5)
    assert kkt_violation(x, D, solution.codes, SIMPLEX).max() < 1e-2
    assert np.isinf(kkt_violation(x, D, 0 * solution.codes, SIMPLEX)).all()


def test_counts_are_mixed_with_the_likeliest_weights(rng):
    D, x = csc.Dictionary(rng.uniform(0, 9, (2, 1, 4))), rng.poisson(3, (1, 1, 9)).astype(float)
    problem = csc.Problem(x, D, SIMPLEX, data_term=csc.data_terms.Poisson(0.5))
    codes = csc.solve(problem, tol=1e-8, max_iter=20_000).codes.ravel()
    columns = D(np.eye(12).reshape(12, 2, 6), (9,)).reshape(12, -1).T

    def cost(z):
        fit = columns @ z + 0.5
        return (fit - x.ravel() * np.log(fit)).sum()

    best = minimize(
        cost, np.full(12, 1 / 12), bounds=[(0, 1)] * 12, method="SLSQP", options={"ftol": 1e-13},
        constraints={"type": "eq", "fun": lambda z: z.sum() - 1},
    )  # fmt: skip
    assert codes.sum() == pytest.approx(1)
    assert cost(codes) == pytest.approx(best.fun, rel=1e-7)


def test_the_gap_bounds_how_far_other_codes_are_from_the_best(rng):
    D = csc.Dictionary(rng.standard_normal((5, 1, 4)))
    problem = csc.Problem(rng.standard_normal((1, 1, 4)), D, SIMPLEX)
    best = csc.solve(problem, tol=1e-9).objective
    for z in rng.dirichlet(np.ones(5), 50).reshape(50, 1, 5, 1):
        objective, gap = problem.certificate(z)
        assert objective - gap <= best + 1e-9 <= objective + 2e-9


@pytest.mark.parametrize("penalty", [SIMPLEX, csc.L1Ball(1.3)], ids=repr)
def test_signals_in_float32_are_certified(penalty, rng):
    D = csc.Dictionary(rng.standard_normal((6, 1, 5)).astype("float32"))
    x = rng.standard_normal((3, 1, 200)).astype("float32")
    solution = csc.solve(csc.Problem(x, D, penalty), tol=1e-4, max_iter=20_000)
    assert solution.codes.dtype == "float32"
    assert solution.converged
    assert 0 < solution.gap < 1e-3 * solution.objective
