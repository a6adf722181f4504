"""The gradient term on codes, against its definition."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

import csc
from csc.data_terms import ByChannel, ChannelNorm, Huber, LeastAbsolute, LeastSquares, Poisson
from csc.problems import with_gradient_term, with_total_variation


@pytest.mark.parametrize("mode", ["circular", "full"])
@pytest.mark.parametrize("shape", [(12,), (7, 6)])
def test_the_objective_is_that_of_the_differences(mode, shape, rng):
    D = csc.Dictionary(rng.standard_normal((3, 2, *(3,) * len(shape))), mode)
    x, weights = rng.standard_normal((2, 2, *shape)), np.array([0.5, 0.0, 2.0])
    mask = rng.random(x.shape) < 0.8
    plain = csc.Problem(x, D, csc.L1(0.1), mask)
    problem = with_gradient_term(plain, weights)
    z = rng.standard_normal(problem.code_shape)
    term = 0.0
    for axis in range(2, z.ndim):
        if mode == "circular":
            differences = z - np.roll(z, 1, axis)
        else:  # codes beyond the array are zero
            pads = [(0, 0)] * z.ndim
            pads[axis] = (1, 1)
            differences = np.diff(np.pad(z, pads), axis=axis)
        term += 0.5 * (weights * (differences**2).sum(axis=(0, *range(2, z.ndim)))).sum()
    assert problem.value(z) == pytest.approx(plain.value(z) + term, rel=1e-12)
    np.testing.assert_allclose(problem.reconstruct(z)[:, :2], D(z, shape))
    solution = csc.solve(problem, tol=1e-6)
    assert solution.converged


def test_weights_of_samples_stay(rng):
    D, x = (
        csc.Dictionary(rng.standard_normal((2, 1, 3)), "circular"),
        rng.standard_normal((1, 1, 9)),
    )
    term = csc.data_terms.LeastSquares(rng.uniform(1, 2, 9))
    plain = csc.Problem(x, D, csc.L1(0.1), data_term=term)
    z = np.ones(plain.code_shape)  # without differences
    assert with_gradient_term(plain, np.ones(2)).value(z) == pytest.approx(plain.value(z))


def test_what_does_not_fit_is_refused(rng):
    x = rng.standard_normal((1, 1, 9))
    D = csc.Dictionary(rng.standard_normal((2, 1, 3)))
    problem = csc.Problem(x, D, csc.L1(0.1))
    same = csc.Problem(x, csc.Dictionary(D.atoms, "same"), csc.L1(0.1))
    for bad, weights, words in [
        (same, np.ones(2), "mode 'circular' or 'full'"),
        (problem, np.ones(3), "weights must be 2 finite numbers"),
        (problem, -np.ones(2), "weights must be 2 finite numbers"),
    ]:
        with pytest.raises(ValueError, match=words):
            with_gradient_term(bad, weights)
    with pytest.raises(TypeError, match="problem must be a csc.Problem"):
        with_gradient_term(D, np.ones(2))


@pytest.mark.parametrize("term", [Huber(0.3), LeastAbsolute()], ids=repr)
def test_other_data_terms_take_a_gradient_term_too(term, rng):
    D = csc.Dictionary(rng.standard_normal((3, 2, 3)), "circular")
    x, weights = rng.standard_normal((2, 2, 14)), np.array([0.5, 0.0, 2.0])
    plain = csc.Problem(x, D, csc.L1(0.5), data_term=term)
    squares = with_gradient_term(csc.Problem(x, D, csc.L1(0.5)), weights)
    problem = with_gradient_term(plain, weights)
    z = rng.standard_normal(problem.code_shape)
    quadratic = squares.value(z) - csc.Problem(x, D, csc.L1(0.5)).value(z)
    assert problem.value(z) == pytest.approx(plain.value(z) + quadratic, rel=1e-10)
    one, other = (
        csc.solve(problem, solver, tol=1e-3, max_iter=20_000)
        for solver in (csc.solvers.Reweighted(), csc.solvers.PrimalDual())
    )
    assert one.converged
    assert other.converged
    assert one.objective == pytest.approx(other.objective, rel=2e-3)


@pytest.mark.parametrize("shape", [(12,), (7, 6)])
def test_total_variation_is_that_of_the_reconstruction(shape, rng):
    D = csc.Dictionary(rng.standard_normal((3, 2, *(3,) * len(shape))), "circular")
    x = rng.standard_normal((2, 2, *shape))
    plain = csc.Problem(x, D, csc.L1(0.5))
    problem = with_total_variation(plain, 0.4)
    z = rng.standard_normal(problem.code_shape)
    fit = D(z, shape)
    variation = sum(abs(fit - np.roll(fit, 1, axis)).sum() for axis in range(2, fit.ndim))
    assert problem.value(z) == pytest.approx(plain.value(z) + 0.4 * variation, rel=1e-10)
    solution = csc.solve(problem, tol=2e-3, max_iter=20_000)
    assert solution.converged
    assert solution.objective <= problem.value(csc.solve(plain).codes)


@pytest.mark.parametrize(("shape", "dtype"), [((7, 6), "float64"), ((7, 6), "float32")])
def test_isotropic_total_variation_is_that_of_the_reconstruction(shape, dtype, rng):
    D = csc.Dictionary(rng.standard_normal((3, 2, *(3,) * len(shape))).astype(dtype), "circular")
    x = rng.standard_normal((2, 2, *shape)).astype(dtype)
    plain = csc.Problem(x, D, csc.L1(0.5))
    problem = with_total_variation(plain, 0.4, isotropic=True)
    z = rng.standard_normal(problem.code_shape).astype(dtype)
    fit = D(z, shape)
    steps = sum((fit - np.roll(fit, 1, axis)) ** 2 for axis in range(2, fit.ndim))
    variation = np.sqrt(steps.sum(axis=1)).sum()
    assert problem.value(z) == pytest.approx(plain.value(z) + 0.4 * variation, rel=1e-5)
    one, other = (
        csc.solve(problem, solver, tol=1e-3, max_iter=20_000)
        for solver in (csc.solvers.Reweighted(), csc.solvers.PrimalDual())
    )
    assert one.converged
    assert other.converged
    assert max(one.objective - one.gap, other.objective - other.gap) <= min(
        one.objective, other.objective
    )
    assert problem.value(z * 0 + one.codes) <= problem.value(one.codes + 0.01 * z)


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("term", [LeastSquares(), Huber(0.3)], ids=repr)
def test_gradient_term_and_total_variation_combine_in_either_order(term, isotropic, rng):
    D, x = (
        csc.Dictionary(rng.standard_normal((2, 2, 3)), "circular"),
        rng.standard_normal((1, 2, 9)),
    )
    plain = csc.Problem(x, D, csc.L1(0.1), data_term=term)
    z = rng.standard_normal(plain.code_shape)
    fit = D(z, (9,))
    steps, maps = fit - np.roll(fit, 1, 2), z - np.roll(z, 1, 2)
    variation = np.sqrt((steps**2).sum(axis=1)).sum() if isotropic else abs(steps).sum()
    value = plain.value(z) + 0.3 * variation + 0.5 * 2.0 * (maps[:, 1] ** 2).sum()

    def varied(problem):
        return with_total_variation(problem, 0.3, isotropic=isotropic)

    weights = np.array([0.0, 2.0])
    one = varied(with_gradient_term(plain, weights))
    other = with_gradient_term(varied(plain), weights)
    again = varied(replace(with_gradient_term(plain, weights), penalty=csc.L1(0.1)))
    for problem in (one, other, again):
        assert problem.value(z) == pytest.approx(value, rel=1e-12)
    costs = [csc.solve(problem, tol=1e-5).objective for problem in (one, other)]
    assert costs[0] == pytest.approx(costs[1], rel=2e-5)


@pytest.mark.parametrize("term", [LeastSquares(), Huber(0.3)], ids=repr)
def test_gradient_weights_of_zero_leave_the_problem_as_it_is(term, rng):
    D, x = csc.Dictionary(rng.standard_normal((2, 1, 3))), rng.standard_normal((1, 1, 9))
    problem = csc.Problem(x, D, csc.L1(0.1), data_term=term)
    assert with_gradient_term(problem, np.zeros(2)) is problem


def test_the_norm_of_channels_and_its_conjugate_prox_and_smooth_forms(rng):
    term, x, u = ChannelNorm(), rng.standard_normal((1, 2, 5)), rng.standard_normal((1, 2, 5))
    angles = np.linspace(0, 2 * np.pi, 721)
    disc = np.stack([np.cos(angles), np.sin(angles)]) * np.linspace(0, 1, 101)[:, None, None]
    disc = np.moveaxis(disc, 1, 2).reshape(-1, 2)  # all s with ||s|| <= 1
    r, center, width = (x - u)[0], 0.5 * term.slope(x, u)[:, ::-1], 0.7
    smooth = term.smoothed(width, center)
    for v in range(5):
        products = disc @ r[:, v]
        assert term.loss(x, u)[0, :, v].sum() == pytest.approx(products.max(), rel=1e-4)
        costs = products - 0.5 * width * ((disc - center[0, :, v]) ** 2).sum(axis=1)
        assert smooth.loss(x, u)[0, :, v].sum() == pytest.approx(costs.max(), abs=1e-3)
        best = disc[costs.argmax()]
        np.testing.assert_allclose(smooth.slope(x, u)[0, :, v], best, atol=0.02)
        grid = u[0, :, v] + 4 * disc
        at = ((grid - u[0, :, v]) ** 2).sum(axis=1) / 2
        at = at + 0.6 * np.linalg.norm(grid - x[0, :, v], axis=1)
        moved = term.prox(x, u, 0.6)[0, :, v]
        cost = ((moved - u[0, :, v]) ** 2).sum() / 2 + 0.6 * np.linalg.norm(moved - x[0, :, v])
        assert at.min() - 1e-3 <= cost <= at.min() + 1e-12
    t = 0.9 * term.slope(x, u)
    far = x + 50 * rng.standard_normal((99, 2, 5))
    values = -t * far - term.loss(np.broadcast_to(x, far.shape), far)
    top = term.conjugate(x, t).sum(axis=1)
    assert (values.sum(axis=1) <= top + 1e-12).all()
    np.testing.assert_allclose((-t * x).sum(axis=1), top)  # the value at u = x
    assert np.isinf(term.conjugate(x, 1.2 * t)).any()
    h, fit = 1e-4, np.zeros_like(u)
    for c in range(2):  # parabolas lie above and touch; second derivatives
        fit[:] = 0
        fit[:, c] = h
        change = smooth.loss(x, u + fit) + smooth.loss(x, u - fit) - 2 * smooth.loss(x, u)
        curves = smooth.second_derivative(x, u)[0, c]
        np.testing.assert_allclose(change.sum(axis=1)[0] / h**2, curves, rtol=1e-3, atol=1e-5)
    other = rng.standard_normal(u.shape)
    slope, curvature = smooth.slope(x, u), smooth.majoriser_curvature(x, u)
    above = smooth.loss(x, u).sum(axis=1) + (
        -slope * (other - u) + 0.5 * curvature * (other - u) ** 2
    ).sum(axis=1)
    assert (smooth.loss(x, other).sum(axis=1) <= above + 1e-12).all()
    moved = smooth.moved(x, u)
    np.testing.assert_array_equal(moved.center, slope)
    assert (moved.loss(x, u).sum(axis=1) >= smooth.loss(x, u).sum(axis=1)).all()


def test_counts_take_a_gradient_term_and_total_variation(rng):
    D, x = csc.Dictionary(rng.random((2, 1, 3)), "circular"), 1.0 * rng.poisson(3.0, (1, 1, 8))
    plain = csc.Problem(x, D, csc.L1(0.1, positive=True), data_term=Poisson(0.5))
    smooth = with_gradient_term(plain, [0.0, 2.0])

    def value(z):
        z = z.reshape(1, 2, 8)
        rate, steps = D(z, (8,)) + 0.5, z[0, 1] - np.roll(z[0, 1], 1)
        return (rate - x * np.log(rate)).sum() + 0.1 * z.sum() + (steps**2).sum()

    start = np.full(16, 0.1)
    options = {"maxfun": 100_000, "ftol": 1e-14}
    best = minimize(value, start, bounds=[(0, None)] * 16, options=options)
    codes = csc.solve(smooth, tol=1e-7).codes
    assert value(codes) == pytest.approx(best.fun, rel=1e-5)
    assert csc.solve(with_total_variation(plain, 0.2)).converged


def test_data_terms_by_channel_are_checked(rng):
    D, x = csc.Dictionary(rng.standard_normal((2, 2, 3))), rng.standard_normal((1, 2, 9))
    with pytest.raises(ValueError, match="parts are for 3 channels, but x has 2"):
        csc.Problem(x, D, csc.L1(0.1), data_term=ByChannel([(3, LeastSquares())]))
    with pytest.raises(ValueError, match="no weights of their own"):
        ByChannel([(1, LeastSquares(np.ones(3)))])
    with pytest.raises(ValueError, match="mode 'circular'"):
        with_total_variation(csc.Problem(x, D, csc.L1(0.1)), 1.0)
