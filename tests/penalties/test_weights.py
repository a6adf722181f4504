"""What weights mean: what NumPy broadcasts to codes (N, K, *V), 0 for free, inf for never."""

import numpy as np
import pytest

import csc
from csc._solve import solve_quietly

rng = np.random.default_rng(0)
K = 6


def dense_lasso(x, D, weights, lmbda, steps=4000):
    """FISTA in dense matrices, weights broadcast by NumPy and by nothing else."""
    V = D.spatial_code_shape(x.shape[2:])
    A = D(np.eye(K * np.prod(V)).reshape(-1, K, *V), x.shape[2:]).reshape(-1, x[0].size).T
    lmbdas = lmbda * np.broadcast_to(weights, (len(x), K, *V)).reshape(len(x), -1)
    z, step = np.zeros(lmbdas.shape), 1 / np.linalg.norm(A, 2) ** 2
    y = z
    for t in range(steps):
        old, v = z, y - step * (y @ A.T - x.reshape(len(x), -1)) @ A
        z = np.sign(v) * np.maximum(abs(v) - step * lmbdas, 0)
        y = z + t / (t + 3) * (z - old)
    cost = 0.5 * ((x.reshape(len(x), -1) - z @ A.T) ** 2).sum() + (lmbdas * abs(z)).sum()
    return cost, z


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(6,), (1, 6), (6, 1), (1, 6, 1), (1, 1, 6), (6, 6), (2, 1, 1)])
@pytest.mark.parametrize(
    "solver", [None, csc.solvers.FISTA(), csc.solvers.ADMM()], ids=["default", "FISTA", "ADMM"]
)
def test_weights_are_what_numpy_broadcasts(shape, solver):
    mode = "circular" if solver == csc.solvers.ADMM() else "full"
    D = csc.Dictionary(rng.standard_normal((K, 1, 5)), mode)
    x = rng.standard_normal((2, 1, 6 if mode == "circular" else 10))  # V = K
    weights = rng.uniform(0.5, 2, shape)
    solution = csc.solve(csc.Problem(x, D, csc.L1(0.3, weights)), solver, tol=1e-9)
    cost, z = dense_lasso(x, D, weights, 0.3)
    assert solution.objective == pytest.approx(cost, rel=1e-7)
    np.testing.assert_allclose(solution.codes.reshape(2, -1), z, atol=1e-3)
    lmbdas = np.broadcast_to(weights, solution.codes.shape)
    top = (abs(D.adjoint(x)) / lmbdas).max()
    assert csc.Problem(x, D, csc.L1(csc.Relative(1.0), weights)).penalty.lmbda == pytest.approx(top)
    learner_sees = csc.Problem(x, D, csc.L1(0.3, weights)).gap(solution.z)
    assert learner_sees <= 1e-9 * cost * 1.01


@pytest.mark.parametrize("shape", [(5,), (6, 2), (3, 6, 1), (1, 1, 6, 1)])
def test_weights_that_do_not_fit_are_refused_with_both_shapes(shape):
    D = csc.Dictionary(rng.standard_normal((K, 1, 5)))
    penalty = csc.L1(0.3, np.ones(shape))
    words = rf"weights of shape .*{shape[-1]}.*\(2, 6, 6\)"
    with pytest.raises(ValueError, match=words):
        csc.Problem(np.ones((2, 1, 10)), D, penalty)
    with pytest.raises(ValueError, match=words):
        penalty.prox(np.ones((2, 6, 6)), 1.0)
    with pytest.raises(ValueError, match=words):
        penalty.value(np.ones((2, 6, 6)))


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("extent", [5, 12])
def test_lmbda_max_is_that_of_what_free_codes_leave(extent, positive):
    D = csc.Dictionary(rng.standard_normal((K, 1, 5)))
    x = rng.standard_normal((2, 1, extent))
    weights = np.array([0.0, 1.0, 2.0, 1.0, 1.0, 3.0])[:, None]
    penalty = csc.L1(csc.Relative(1.0), weights, positive=positive)
    top = csc.Problem(x, D, penalty).penalty.lmbda
    above, below = (dense_free(x, D, weights, c * top, positive) for c in (1.001, 0.99))
    assert abs(above).max() < 1e-6 < abs(below).max()


def dense_free(x, D, weights, lmbda, positive):
    """Codes of weight > 0 at the minimum."""
    problem = csc.Problem(x, D, csc.L1(lmbda, weights, positive=positive))
    # all codes may be zero: no reason for a warning here
    z = solve_quietly(problem, csc.solvers.FISTA(), tol=0, max_iter=3000).codes
    return z[np.broadcast_to(weights > 0, z.shape)]


def test_lmbda_max_of_two_atoms_of_which_one_is_free():
    D = csc.Dictionary(np.array([[[1.0, -1.0]], [[1.0, 0.0]]]))
    penalty = csc.L1(csc.Relative(1.0), np.array([[0.0], [1.0]]))
    x = np.array([[[0.0, 1.0]]])
    assert csc.Problem(x, D, penalty).penalty.lmbda == pytest.approx(0.5)
    both = csc.L1(csc.Relative(1.0), np.array([[0.0], [0.0]]))
    assert csc.Problem(x, D, both).penalty.lmbda == 0
    explained = csc.Problem(np.array([[[2.0, -2.0]]]), D, penalty)
    assert explained.penalty.lmbda == 0  # the free atom leaves nothing


@pytest.mark.slow
@pytest.mark.parametrize("lmbda", [0.0, 0.2])
@pytest.mark.parametrize(
    "solver", [None, csc.solvers.FISTA(), csc.solvers.ISTA()], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("extent", [5, 12])
def test_atoms_of_infinite_weight_are_never_used(extent, solver, lmbda, rng):
    atoms, x = rng.standard_normal((K, 1, 5)), rng.standard_normal((2, 1, extent))
    never = np.array([1.0, np.inf, 1.0, 2.0, np.inf, 1.0])[:, None]
    others = np.isfinite(never.ravel())
    problem = csc.Problem(x, csc.Dictionary(atoms), csc.L1(lmbda, never))
    z = csc.solve(problem, solver, tol=1e-8, max_iter=3000).codes
    assert not z[:, ~others].any()
    small = csc.Problem(x, csc.Dictionary(atoms[others]), csc.L1(lmbda, never[others]))
    best = csc.solve(small, csc.solvers.FISTA(), tol=1e-8, max_iter=3000)
    assert problem.value(z) == pytest.approx(best.objective, rel=1e-4, abs=1e-9)  # ISTA is slow
    assert problem.value(np.ones_like(z)) == np.inf
    tight = csc.certificates.duality_gap(x, problem.dictionary, z, problem.penalty)
    if lmbda > 0:  # that of the problem may be sharper: its dual point is rescaled sample by sample
        assert problem.gap(z) <= tight.sum() * (1 + 1e-9) + 1e-12
        assert tight.sum() < 0.01 * best.objective


def test_weights_of_nan_and_of_nothing_but_inf_are_refused():
    for weights, word in ((np.array([np.nan, 1.0]), "NaN"), (np.full(3, np.inf), "all inf")):
        with pytest.raises(ValueError, match=word):
            csc.L1(1.0, weights)


class Clipped:
    """A penalty of a user's: |z| up to 1, constant beyond; its attributes mean something else."""

    lmbda, convex, ridge, weights, positive, name = 0.5, False, 0.0, np.ones(3), False, "l1"

    def value(self, z):
        return self.lmbda * float(np.minimum(abs(z), 1).sum())

    def prox(self, z, step):
        lmbda = step * self.lmbda
        small = np.sign(z) * np.clip(abs(z) - lmbda, 0, 1)
        costs = [lmbda * np.minimum(abs(u), 1) + 0.5 * (u - z) ** 2 for u in (small, z)]
        return np.where(costs[0] < costs[1], small, z)


class HalfL1(csc.L1):
    """A subclass with a prox of its own."""

    def prox(self, z, step):
        return csc.L1(0.5 * self.lmbda).prox(z, step)


@pytest.mark.parametrize("penalty", [Clipped(), HalfL1(0.5)])
@pytest.mark.parametrize("extent", [5, 12])
def test_a_penalty_of_ones_own_is_asked_for_its_prox(penalty, extent):
    csc.testing.check_prox(Clipped())
    D, x = csc.Dictionary(rng.standard_normal((K, 1, 5))), rng.standard_normal((2, 1, extent))
    problem = csc.Problem(x, D, penalty)
    step = 1 / problem.lipschitz()
    z = rng.standard_normal(problem.code_shape)
    expected = penalty.prox(z + step * D.adjoint(x - D(z, x.shape[2:])), step)
    np.testing.assert_allclose(problem.prox_grad(z, step), expected, atol=1e-12)
    assert not csc.solvers.WorkingSet().supports(problem)


@pytest.mark.parametrize("call", ["sparse_code", "solve", "fit"])
def test_a_strength_above_lmbda_max_warns_once_with_it(call):
    x, atoms = rng.standard_normal((3, 1, 5)), rng.standard_normal((K, 1, 5))
    D = csc.Dictionary(atoms)
    top = csc.lmbda_max(x, D)
    learner = csc.DictionaryLearning(K, (5,), 100.0, init=atoms, max_iter=2)
    calls = {
        "sparse_code": lambda: csc.sparse_code(x, atoms, 2 * top),
        "solve": lambda: csc.solve(csc.Problem(x, D, csc.L1(2 * top))),
        "fit": lambda: learner.fit(x),
    }
    with pytest.warns(UserWarning, match=r"lmbda_max = \d") as caught:
        calls[call]()
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_paths_from_lmbda_max_and_zero_signals_warn_of_nothing(recwarn):
    x, D = rng.standard_normal((1, 1, 9)), csc.Dictionary(rng.standard_normal((K, 1, 5)))
    csc.lmbda_path(x, D, 3)
    csc.sparse_code(np.zeros((1, 1, 9)), D, 1.0)
    csc.sparse_code(x, D, csc.Relative(1.0))
    assert not recwarn.list


def test_an_objective_of_nan_ends_the_solve_and_says_so():
    class Broken(Clipped):
        def value(self, z):  # noqa: ARG002
            return float("nan")

    D, x = csc.Dictionary(rng.standard_normal((K, 1, 5))), rng.standard_normal((2, 1, 9))
    solution = csc.solve(csc.Problem(x, D, Broken()), csc.solvers.FISTA(), max_iter=500)
    assert solution.n_iter < 50
    assert solution.status is csc.solvers.Status.BROKEN
    assert not solution.converged
