"""Certificates next to dense formulas, and against minima found without them."""

import numpy as np
import pytest

import csc
from csc.certificates import GroupScores, group_certificate
from csc.operators import SparseCodes, SparseResidual
from reference import lasso as naive
from reference import penalties as naive_penalties

WEIGHTS = np.array([0.5, 1.0, 2.0, 1.5])[:, None]
PENALTIES = [
    csc.L1(0.4),
    csc.L1(0.4, positive=True),
    csc.L1(0.4, weights=WEIGHTS),
    csc.ElasticNet(0.4, ridge=0.5),
    csc.ElasticNet(0.4, ridge=0.5, positive=True),
    csc.GroupL21(0.4, group_size=2),
]


def problem_of(penalty, rng, mask=None):
    D = csc.Dictionary(rng.standard_normal((4, 1, 3)))
    return csc.Problem(rng.standard_normal((2, 1, 10)), D, penalty, mask)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_gap_bounds_the_excess_and_vanishes_at_the_minimum(penalty, masked, rng):
    mask = (rng.random(10) < 0.8) if masked else None
    problem = problem_of(penalty, rng, mask)
    solver = csc.solvers.FISTA()
    state = solver.init(problem, problem.zeros())
    for _ in range(1000):  # asks no certificate
        state = solver.step(problem, state)
    best = state.z
    minimum = problem.value(best)
    assert problem.gap(best) < 1e-9 * minimum
    x, D = problem.x, problem.dictionary
    assert csc.certificates.kkt_violation(x, D, best, penalty, mask).max() < 1e-6
    for scale in (0.001, 0.1, 1.0):
        z = best + scale * abs(rng.standard_normal(best.shape))
        assert problem.gap(z) >= problem.value(z) - minimum - 1e-10
        assert csc.certificates.kkt_violation(x, D, z, penalty, mask).min() > 1e-4 * scale


def test_elastic_net_is_that_of_scikit_learn_and_of_the_dense_formula(rng):
    from sklearn.linear_model import ElasticNet

    D = csc.Dictionary(rng.standard_normal((8, 1, 5)))
    problem = csc.Problem(rng.standard_normal((1, 1, 5)), D, csc.ElasticNet(0.3, ridge=1.5))
    M, x = naive.synthesis_matrix(D.atoms, (5,)), problem.x.ravel()
    theirs = ElasticNet(alpha=0.3 * 2.5 / 5, l1_ratio=0.4, fit_intercept=False, tol=1e-12)
    ours = csc.solve(problem, tol=1e-12).codes
    np.testing.assert_allclose(ours.ravel(), theirs.fit(M, x).coef_, atol=1e-6)
    z = rng.standard_normal(problem.code_shape)
    r = x - M @ z.ravel()
    primal = r @ r / 2 + naive_penalties.elastic_value(z.ravel(), 0.3, 1.5)
    dual = naive_penalties.elastic_dual(x, r, M.T @ r, 0.3, 1.5)
    assert problem.value(z) == pytest.approx(primal)
    assert problem.gap(z) == pytest.approx(primal - dual)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("ridge", [1e-8, 1e-30])
@pytest.mark.parametrize(("mode", "length"), [("full", 20), ("circular", 120)])
def test_a_ridge_below_rounding_leaves_the_certificate_of_the_lasso(
    mode, length, ridge, positive, dtype, rng
):
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((30, 1, 20))).astype(dtype)
    x, D = rng.standard_normal((3, 1, length)).astype(dtype), csc.Dictionary(atoms, mode)
    problem = csc.Problem(x, D, csc.ElasticNet(0.3, ridge, positive))
    solution = csc.solve(problem, tol=1e-6)
    assert solution.converged
    exact = csc.Dictionary(atoms.astype("float64"), mode)
    lasso = csc.Problem(x.astype("float64"), exact, csc.L1(0.3, positive=positive))
    codes = csc.solve(lasso, tol=1e-12).codes
    best = csc.Problem(lasso.x, exact, problem.penalty).value(codes)  # not below the minimum
    assert solution.objective - best <= solution.gap + 1e-12 * best
    for scale in (1e-6, 1e-3, 1.0):
        z = solution.codes + (scale * abs(rng.standard_normal(codes.shape))).astype(dtype)
        assert problem.gap(z) >= problem.value(z) - best - 1e-12 * best


def test_group_gap_is_the_dense_formula(rng):
    problem = problem_of(csc.GroupL21(0.4, group_size=2), rng)
    M = naive.synthesis_matrix(problem.dictionary.atoms, (10,))
    z = rng.standard_normal(problem.code_shape)
    dense = [
        naive_penalties.group_gap(M, x.ravel(), c.ravel(), 0.4, 2, 8)
        for x, c in zip(problem.x, z, strict=True)
    ]
    ours = csc.certificates.duality_gap(problem.x, problem.dictionary, z, problem.penalty)
    np.testing.assert_allclose(ours, dense)


@pytest.mark.parametrize(
    "make", [csc.L1, csc.ElasticNet, lambda lmbda: csc.GroupL21(lmbda, 2)], ids=["l1", "en", "l21"]
)
def test_lmbda_max_is_the_smallest_that_silences_all(make):
    for fraction, silent in ((1.0, True), (0.98, False)):
        problem = problem_of(make(csc.Relative(fraction)), np.random.default_rng(3))
        assert csc.solve(problem, tol=1e-9).codes.any() != silent


@pytest.mark.parametrize("local", [False, True])
def test_sparse_groups_whose_residual_could_grow(local):
    """Scores of sparse groups are not proportional to the residual: one below 1 allows no larger residual."""
    x, codes = np.full((1, 2, 1), 3.0), SparseCodes.of(np.full((1, 2, 1), 2.01))
    D, penalty = csc.Dictionary(np.eye(2)[:, :, None]), csc.SparseGroupL21(1.0, 2, 0.1)
    residual = SparseResidual(x, D, codes, "float64")
    scores = GroupScores(residual.layout, penalty)
    infeasibility = scores.dual_infeasibility(residual.r)
    objective, gap = group_certificate(residual, scores, infeasibility, local=local)
    minimum = (2 - 0.1 / 2**0.5) * np.ones(2)  # soft-threshold, then shorten the group
    least = 0.5 * ((3 - minimum) ** 2).sum() + minimum.sum() + 0.1 * np.linalg.norm(minimum)
    assert objective[0] - gap[0] <= least * (1 + 1e-12)
    assert gap[0] < 0.5
