"""The l1 ball on signals: equal to the minimum of other methods, and never a gap that is too small."""

import numpy as np
import pytest

import csc
from csc.certificates import ball_certificate
from csc.operators import KnownInfeasibility, SparseCodes, SparseResidual
from csc.solvers import FISTA, WorkingSet, fastest
from csc.solvers._ball_active_set import BallActiveSet
from reference.larger_signals import colour, one_channel, problem_of, volume

BALL = csc.L1Ball(6.0)


@pytest.mark.parametrize("make", [one_channel, colour, volume])
def test_it_is_the_default_and_has_the_minimum_of_fista(make, rng):
    problem = problem_of(make, BALL, rng)
    assert isinstance(fastest(problem), WorkingSet)
    ours, theirs = csc.solve(problem, tol=1e-8), csc.solve(problem, FISTA(), tol=1e-7)
    assert ours.converged, ours.message
    assert theirs.converged
    assert ours.objective <= theirs.objective * (1 + 2e-8)
    assert theirs.objective - theirs.gap <= ours.objective
    assert problem.value(ours.codes) == pytest.approx(ours.objective, rel=1e-12)
    assert problem.value(ours.z) == pytest.approx(ours.objective, rel=1e-12)
    assert abs(ours.codes - theirs.codes).max() < 1e-2
    assert abs(ours.codes).reshape(len(problem.x), -1).sum(axis=1).max() <= 6 * (1 + 1e-12)


def test_gaps_bound_the_distance_to_the_minimum(rng):
    problem = problem_of(colour, BALL, rng)
    best = csc.solve(problem, tol=1e-9)
    for distance in (1e-4, 1e-2, 1.0):
        codes = best.codes * rng.uniform(1 - distance, 1, problem.code_shape)
        objective, gap = problem.certificate(codes)
        plain = csc.certificates.duality_gap(problem.x, problem.dictionary, codes, BALL).sum()
        assert objective == pytest.approx(problem.value(codes), rel=1e-12)
        assert objective - best.objective <= gap * (1 + 1e-9) + 1e-8 * objective
        assert gap <= plain * (1 + 1e-6) + 1e-12 * objective


def test_float32_one_start_and_zero_signals(rng):
    problem = problem_of(one_channel, BALL, rng, "float32")
    solution = csc.solve(problem, tol=1e-5)
    assert solution.converged, solution.message
    assert solution.codes.dtype == "float32"
    start = 10 * rng.standard_normal(problem.code_shape).astype(
        "float32"
    )  # far, and outside a ball
    again = csc.solve(problem, tol=1e-5, init=start)
    assert again.objective == pytest.approx(solution.objective, rel=2e-5)
    zero = csc.Problem(0 * problem.x, problem.dictionary, BALL)
    assert not csc.solve(zero).codes.any()


def test_codes_outside_of_the_ball_have_an_infinite_objective(rng):
    problem = problem_of(colour, csc.L1Ball(6.0), rng)
    assert problem.certificate(np.ones(problem.code_shape)) == (np.inf, np.inf)


def test_gaps_of_a_ball_of_large_codes(rng):
    scale, x, atoms = 1e100, rng.standard_normal((1, 1, 700)), rng.standard_normal((4, 1, 5))
    solutions = [
        csc.solve(csc.Problem(unit * x, csc.Dictionary(atoms), csc.L1Ball(5.0 * unit)))
        for unit in (1.0, scale)
    ]
    assert all(solution.converged for solution in solutions)
    np.testing.assert_allclose(solutions[1].objective / scale**2, solutions[0].objective, rtol=1e-4)


def test_each_signal_has_its_own_lambda(rng):
    x, atoms, _, mask = one_channel(rng)
    x, D = (
        np.concatenate([0.01 * x, 100 * x]),
        csc.Dictionary(atoms),
    )  # some fill the ball, some do not
    mask = np.concatenate([mask, mask])
    solution = csc.solve(csc.Problem(x, D, BALL, mask), tol=1e-9)
    alone = [
        csc.solve(csc.Problem(x[i : i + 1], D, BALL, mask[i : i + 1]), tol=1e-10) for i in (2, 3)
    ]
    assert solution.converged
    assert solution.objective == pytest.approx(sum(one.objective for one in alone), rel=1e-8)


@pytest.mark.parametrize("factor", [0.999, 1.001, 1e3])
def test_a_ball_that_may_hold_the_minimum_of_least_squares(factor, rng):
    x, atoms = rng.standard_normal((1, 1, 1700)), rng.standard_normal((3, 1, 12))
    D = csc.Dictionary(atoms, stride=(4,))  # fewer codes than samples
    matrix = D.synthesis_matrix((1700,)).toarray().T
    best = np.linalg.solve(matrix.T @ matrix, matrix.T @ x.ravel())
    least = 0.5 * float(((x.ravel() - matrix @ best) ** 2).sum())
    ball = csc.L1Ball(factor * float(abs(best).sum()))
    solution = csc.solve(csc.Problem(x, D, ball), tol=1e-7, max_iter=3)
    assert solution.converged
    if factor > 1:
        assert solution.objective == pytest.approx(least, rel=1e-7)
    else:
        assert least * (1 + 1e-9) < solution.objective < least * (1 + 1e-4)


def test_codes_do_not_diverge_where_lambda_is_far_too_small(rng):
    t = (np.arange(41) - 20) * 0.2
    D = csc.Dictionary(((1 - t * t) * np.exp(-t * t / 2))[None, None], "same")  # nearly singular
    x = D(rng.standard_normal((1, 1, 1100)) * (rng.random(1100) < 0.1))
    problem = csc.Problem(x + 0.1 * rng.standard_normal(x.shape), D, csc.L1Ball(1e7))
    lasso = csc.solve(csc.Problem(problem.x, D, csc.L1(csc.Relative(1e-3))))
    assert csc.solve(problem, max_iter=2).objective < lasso.objective


@pytest.mark.parametrize("make", [one_channel, colour, volume])
@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_certificates_from_known_correlations_are_as_sharp(make, unit, rng):
    problem, ball = problem_of(make, BALL, rng), csc.L1Ball(6.0 * unit)
    problem = csc.Problem(unit * problem.x, problem.dictionary, ball, problem.mask)
    codes = SparseCodes.of(csc.solve(problem, tol=1e-3).codes)
    of = problem.x, problem.dictionary, codes, "float64", problem.mask
    residual, near = SparseResidual(*of), SparseResidual(*of)
    near.r += 1e-4 * unit * rng.standard_normal(near.r.shape) * (near.x != 0)
    r = near.observed(near.r)
    largest = near.layout.dual_infeasibility(r, np.ones(6), False)
    known = KnownInfeasibility(r.astype("float32"), largest.astype("float32"))
    exact, ours = (ball_certificate(residual, ball.radius, a) for a in (None, known))
    np.testing.assert_allclose(ours, exact, rtol=1e-9)
    best = csc.solve(problem, tol=1e-9)
    assert exact[0].sum() - best.objective <= ours[1].sum() * (1 + 1e-9)


def test_the_best_codes_are_kept(rng):
    problem = problem_of(one_channel, BALL, rng)
    active = BallActiveSet(problem, SparseCodes.of(csc.solve(problem).codes), "float64")
    best, _ = active.certificate(active.dual_infeasibility())
    active._set_values(-active.codes.values)
    assert problem.value(active.result("float64")) == pytest.approx(best.sum(), rel=1e-12)


def test_coherent_pictures_need_few_steps(rng):
    bell = np.exp(-(np.linspace(-1.5, 1.5, 7) ** 2))
    slope = np.gradient(bell)
    pairs = (slope, bell), (bell, slope), (bell, bell), (slope, slope)
    atoms = np.stack([np.outer(*pair) for pair in pairs])[:, None]
    D = csc.Dictionary(csc.constraints.UnitSphere().project(atoms))
    problem = csc.Problem(rng.standard_normal((1, 1, 24, 24)), D, csc.L1Ball(400.0))
    assert csc.solve(problem, tol=1e-6, max_iter=2).converged  # with sweeps alone more than 20
