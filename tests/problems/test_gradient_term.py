"""The gradient term on codes, against its definition."""

import numpy as np
import pytest

import csc
from csc.problems import with_gradient_term


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
    robust = csc.Problem(x, D, csc.L1(0.1), data_term=csc.data_terms.Huber(0.1))
    for bad, weights, words in [
        (same, np.ones(2), "mode 'circular' or 'full'"),
        (robust, np.ones(2), "LeastSquares data term"),
        (problem, np.ones(3), "weights must be 2 numbers"),
        (problem, -np.ones(2), "weights must be 2 numbers"),
    ]:
        with pytest.raises(ValueError, match=words):
            with_gradient_term(bad, weights)
    with pytest.raises(TypeError, match="problem must be a csc.Problem"):
        with_gradient_term(D, np.ones(2))
