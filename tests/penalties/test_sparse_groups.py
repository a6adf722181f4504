"""Sparse groups and the l1 ball: proxes against their neighbours, gauges against their definition."""

import numpy as np
import pytest

import csc
from csc.certificates import _duality_gap, kkt_violation

PENALTIES = [csc.SparseGroupL21(0.4, 3, 0.7), csc.SparseGroupL21(0.4, 2, 0.0), csc.L1Ball(2.5)]


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_prox_is_no_worse_than_its_neighbours(penalty, rng):
    v = rng.standard_normal((2, 6, 3))
    u = penalty.prox(v, 1.3)
    assert 0 < (u == 0).sum() < u.size

    def cost(z):
        return 1.3 * penalty.value(z) + 0.5 * ((z - v) ** 2).sum()

    others = [
        u + scale * rng.standard_normal(v.shape) for scale in (1e-4, 1e-2, 1) for _ in range(200)
    ]
    if isinstance(penalty, csc.L1Ball):  # points of the ball, whatever its prox does
        norms = [abs(a).sum(axis=(1, 2), keepdims=True) for a in others]
        others = [a * np.minimum(1, 2.5 / norm) for a, norm in zip(others, norms, strict=True)]
        np.testing.assert_allclose(abs(u).sum(axis=(1, 2)), 2.5)
    assert cost(u) <= min(map(cost, others)) + 1e-12
    assert penalty.prox(v.astype("float32"), 1.3).dtype == "float32"
    small = 1e-3 * v
    if isinstance(penalty, csc.L1Ball):
        np.testing.assert_array_equal(penalty.prox(small, 1.0), small)


@pytest.mark.parametrize("penalty", PENALTIES[:2], ids=repr)
def test_the_dual_norm_is_the_largest_ratio_of_products_and_values(penalty, rng):
    q = rng.standard_normal((2, 6, 3))
    top = penalty.dual_norm(q)
    z = rng.standard_normal((4000, 2, 6, 3)) * (rng.random((4000, 2, 6, 3)) < 0.1)
    ratios = np.array([(a * q).sum(axis=(1, 2)) / np.maximum(penalty.values(a), 1e-9) for a in z])
    assert (ratios.max(axis=0) <= top * (1 + 1e-9)).all()
    # reached: at the prox of a step so long that only the last group is left
    u = penalty.prox(q / top[:, None, None] * (1 + 1e-6), 1.0)
    assert u.any(axis=(1, 2)).all()
    assert not penalty.prox(q / top[:, None, None] * (1 - 1e-9), 1.0).any()


def test_the_dual_norm_need_not_be_that_of_the_longest_group():
    q = np.array([1.0, 1, 1, 1.5, 0, 0]).reshape(1, 6, 1)
    assert csc.SparseGroupL21(1.0, 3, 0.7).dual_norm(q) == pytest.approx([1.5 / 1.7])


@pytest.mark.parametrize("ratio", [0.0, 1e-5, 0.3, 5.0])
def test_gauges_are_the_smallest_feasible_numbers(ratio, rng):
    rows = rng.standard_normal((50, 4)) * rng.integers(0, 2, (50, 4))
    rows[0], rows[1:20] = 0, rng.random((19, 1))  # equal entries: their differences are rounding
    t = csc.SparseGroupL21(0.4, 4, ratio).gauges(rows)

    def is_feasible(t):
        over = np.maximum(abs(rows) - 0.4 * t[:, None], 0)
        return np.linalg.norm(over, axis=1) <= 0.4 * t * ratio * (1 + 1e-9) + 1e-15

    assert is_feasible(t).all()
    assert not is_feasible(t * (1 - 1e-8))[rows.any(axis=1)].any()


@pytest.mark.parametrize(
    "penalty", [*PENALTIES, csc.SparseGroupL21(csc.Relative(0.2), 2)], ids=repr
)
def test_solutions_are_certified_and_stationary(penalty, rng):
    D = csc.Dictionary(csc.constraints.UnitSphere().project(rng.standard_normal((6, 1, 5))))
    x = 2 * rng.standard_normal((2, 1, 30))
    problem = csc.Problem(x, D, penalty)
    solution = csc.solve(problem, tol=1e-9)
    assert solution.converged
    assert kkt_violation(x, D, solution.codes, problem.penalty).max() < 1e-3
    assert problem.gap(problem.zeros()) > 1e-3


def test_the_ball_and_the_penalty_have_the_same_solutions(rng):
    D = csc.Dictionary(rng.standard_normal((4, 1, 5)))
    x = rng.standard_normal((1, 1, 30))
    lasso = csc.sparse_code(x, D, csc.Relative(0.3), tol=1e-10)
    ball = csc.L1Ball(float(abs(lasso.codes).sum()))
    fit = csc.solve(csc.Problem(x, D, ball), tol=1e-8)
    np.testing.assert_allclose(fit.reconstruction(), lasso.reconstruction(), atol=1e-3)
    robust = csc.solve(csc.Problem(x, D, ball, data_term=csc.data_terms.Huber(0.5)), tol=1e-6)
    assert robust.converged
    assert csc.L1Ball(1.0).value(np.ones((1, 2, 1))) == np.inf


def test_bad_penalties_are_refused():
    with pytest.raises(ValueError, match="radius must be finite and > 0"):
        csc.L1Ball(0.0)
    with pytest.raises(ValueError, match="ratio must be finite and >= 0"):
        csc.SparseGroupL21(1.0, 2, -1.0)
    D = csc.Dictionary(np.ones((3, 1, 2)))
    with pytest.raises(ValueError, match="group_size must divide the number of atoms"):
        csc.Problem(np.ones((1, 1, 5)), D, csc.SparseGroupL21(1.0, 2))


@pytest.mark.parametrize(
    ("n", "masked"), [(40, False), (40, True), (528, False)]
)  # 66, or 1042 codes: FISTA, and the solver of many codes
def test_a_ball_far_larger_than_the_codes_is_certified_in_float32(n, masked, rng):
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((2, 4, 8))).astype("float32")
    x = rng.standard_normal((2, 4, n)).astype("float32")
    mask = rng.random((2, 1, n)) < 0.9 if masked else None
    D = csc.Dictionary(atoms)
    problem = csc.Problem(x, D, csc.L1Ball(1e6), mask)
    solution = csc.solve(problem, tol=1e-5, max_iter=2000)
    assert solution.converged
    least = 0.0
    for own, seen in zip(
        x.astype("float64"),
        np.ones(x.shape) if mask is None else mask * np.ones(x.shape),
        strict=True,
    ):
        columns = np.zeros((2, n - 7, 4, n))
        for k, v in np.ndindex(2, n - 7):
            columns[k, v, :, v : v + 8] = atoms[k]
        A = (columns * seen).reshape(2 * (n - 7), -1).T
        y = (own * seen).ravel()
        least += 0.5 * ((y - A @ np.linalg.solve(A.T @ A, A.T @ y)) ** 2).sum()
    assert solution.objective - solution.gap <= least * (1 + 1e-9)
    assert 0 <= solution.objective - least <= 1e-6 * least


def test_the_gap_in_a_ball_is_at_most_the_objective(rng):
    x, D = rng.standard_normal((1, 1, 30)), csc.Dictionary(np.ones((1, 1, 1)))
    problem = csc.Problem(x, D, csc.L1Ball(1e9))
    assert problem.gap(0.9 * x) == pytest.approx(problem.value(0.9 * x))


def test_the_gap_inside_a_ball_is_the_excess_over_least_squares(rng, monkeypatch):
    monkeypatch.setattr(_duality_gap, "CODES_ROUNDING", 1.0)  # else the excess is rounding itself
    D, x = csc.Dictionary(rng.standard_normal((2, 4, 8))), rng.standard_normal((1, 4, 30))
    columns = np.stack([D(e.reshape(1, 2, 23)).ravel() for e in np.eye(46)], axis=1)
    best = np.linalg.lstsq(columns, x.ravel())[0].reshape(1, 2, 23)
    z = best + 1e-3 * rng.standard_normal(best.shape)
    excess = 0.5 * (D(z - best) ** 2).sum()
    gap = csc.Problem(x, D, csc.L1Ball(2 * abs(best).sum())).gap(z)
    assert excess * (1 - 1e-9) <= gap <= 1.001 * excess
