"""Layered thresholding and layered basis pursuit: layer by layer, what one layer's tools give."""

import numpy as np
import pytest
from problems.test_multilayer_problem import LMBDAS, dictionary, problem

import csc
from reference import lasso as naive
from reference import multilayer as naive_multilayer


def dense_layers(p):
    return naive_multilayer.matrices(p.dictionary.layers, p.x.shape[2:])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "valid", "same", "circular"])
@pytest.mark.parametrize("stride", [1, 2])
def test_layered_thresholding_is_one_dense_pass(mode, stride, rng):
    p = problem(rng, 3, modes=mode, stride=stride, extent=40)
    solution = csc.solve(p, csc.solvers.LayeredThresholding())
    below = p.x.reshape(2, -1)
    for D, lmbda, codes in zip(dense_layers(p), LMBDAS, solution.codes, strict=True):
        below = naive.soft(below @ D, lmbda)
        np.testing.assert_allclose(codes.reshape(2, -1), below, atol=1e-12)
    assert solution.converged
    assert solution.n_iter == 1
    assert solution.objective == pytest.approx(p.value(solution.codes))
    assert solution.gap >= solution.objective - csc.solve(p, tol=1e-2).objective > 0


def test_the_penalty_is_the_rule(rng):
    D = dictionary(rng, 2)
    x = rng.standard_normal((2, 1, 12))
    penalties = [csc.L1(0.3, positive=True), csc.L0(0.02)]
    found = csc.solve(csc.MultiLayerProblem(x, D, penalties), csc.solvers.LayeredThresholding())
    first = D.forward(x, [0.3, 0], "relu")[0]
    np.testing.assert_array_equal(found.codes[0], first)
    v = D.layers[1].adjoint(first)
    np.testing.assert_array_equal(found.codes[1], np.where(abs(v) > 0.2, v, 0))
    assert found.gap == np.inf
    fit = 0.5 * ((x - D(found.codes[1])) ** 2).sum()
    chain = D.layers[1](found.codes[1])
    penalty = 0.3 * chain.sum() if chain.min() >= 0 else np.inf
    assert found.objective == pytest.approx(fit + penalty + 0.02 * (found.codes[1] != 0).sum())


@pytest.mark.parametrize("solver", [None, csc.solvers.FISTA()])
@pytest.mark.parametrize("mode", ["full", "circular"])
def test_every_layer_of_layered_basis_pursuit_is_certified_by_dense_matrices(solver, mode, rng):
    p = problem(rng, 3, modes=mode, extent=16)
    solution = csc.solve(p, csc.solvers.LayeredBasisPursuit(solver, tol=1e-8))
    below = p.x.reshape(2, -1)
    for i, (D, lmbda) in enumerate(zip(dense_layers(p), LMBDAS, strict=True)):
        rows = solution.codes[i].reshape(2, -1)
        pairs = list(zip(below, rows, strict=True))
        value = sum(naive.lasso_value(D, x, z, lmbda) for x, z in pairs)
        assert sum(naive.lasso_gap(D, x, z, lmbda) for x, z in pairs) <= 2e-8 * value
        part = p.layer(i + 1, below.reshape(p.x.shape if i == 0 else solution.codes[i - 1].shape))
        assert part.certificate(solution.codes[i])[0] == pytest.approx(value)
        below = rows
    assert solution.converged
    assert solution.n_iter == 3
    assert len(solution.history) == 3


def test_one_layer_of_layered_basis_pursuit_is_the_lasso(rng):
    p = problem(rng, 1)
    layered = csc.solve(p, csc.solvers.LayeredBasisPursuit(tol=1e-8))
    plain = csc.solve(p.layer(1, p.x), tol=1e-8)
    np.testing.assert_array_equal(layered.codes[0], plain.codes)


def test_a_layer_that_was_not_coded_is_named(rng):
    p = problem(rng)
    solution = csc.solve(
        p, csc.solvers.LayeredBasisPursuit(csc.solvers.ISTA(), tol=1e-12, max_iter=20)
    )
    assert not solution.converged
    assert solution.status is csc.solvers.Status.MAX_ITER
    assert solution.message.startswith("layer 1 did not reach its tol: stopped at max_iter = 20")


def test_an_interrupted_pursuit_keeps_the_layers_it_coded(rng):
    p, finished = problem(rng, 3), csc.solvers.FISTA()

    class Interrupting(csc.solvers.FISTA):
        def init(self, problem, z0):
            if problem.dictionary is p.dictionary.layers[1]:
                raise KeyboardInterrupt
            return super().init(problem, z0)

    solution = csc.solve(p, csc.solvers.LayeredBasisPursuit(Interrupting()))
    assert solution.status is csc.solvers.Status.INTERRUPTED
    first = csc.solve(p.layer(1, p.x), finished)
    np.testing.assert_array_equal(solution.codes[0], first.codes)
    assert not solution.codes[1].any()
    assert np.isfinite(solution.gap)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"solver": csc.solvers.FISTA},
            TypeError,
            "solver must be a solver such as csc.solvers.FISTA",
        ),
        ({"solver": csc.solvers.MLISTA()}, ValueError, "of one layer"),
        ({"tol": -1}, ValueError, "tol must be >= 0"),
        ({"max_iter": 0}, ValueError, "max_iter must be >= 1"),
    ],
)
def test_bad_settings_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        csc.solvers.LayeredBasisPursuit(**change)


def test_problems_that_do_not_suit_are_refused(rng):
    p = problem(rng)
    for solver in (
        csc.solvers.LayeredThresholding(),
        csc.solvers.LayeredBasisPursuit(),
        csc.solvers.MLADMM(),
    ):
        with pytest.raises(ValueError, match="needs a csc.MultiLayerProblem"):
            csc.solve(p.layer(1, p.x), solver)
    with pytest.raises(ValueError, match="a solver for each"):
        csc.solve(p, csc.solvers.LayeredBasisPursuit(csc.solvers.ADMM()))  # needs signals that wrap
    hard = csc.MultiLayerProblem(p.x, p.dictionary, [csc.L1(0.1), csc.L0(0.1)])
    with pytest.raises(ValueError, match="with convex penalties"):
        csc.solve(hard, csc.solvers.MLADMM())
    assert csc.solve(hard, max_iter=50).gap == np.inf
