"""Signals with few codes: all penalties of the fast path, against the dense lasso."""

from functools import partial

import numpy as np
import pytest

import csc
from csc.operators import matrix_and_gram, synthesis_matrix
from csc.problems import _small_form
from csc.solvers import FISTA, WorkingSet, _small_signals, fastest
from reference import lasso as naive
from reference import patches as naive_patch

MODES = ["full", "valid", "same", "circular"]


def dense(problem):
    """Matrix of a problem whose codes come atom by atom, with the ridge of its penalty below."""
    D, spatial_shape = problem.dictionary, problem.x.shape[2:]
    A = np.eye(problem.x[0].size)
    if not D.is_convolution:
        A, D, spatial_shape = (
            D.operator.matmat(np.eye(D.operator.shape[1])),
            D.dictionary,
            D.signal_shape,
        )
    M = A @ naive.synthesis_matrix(D.atoms.astype("f8"), spatial_shape, D.mode, D.geometry.stride)
    if problem.mask is not None:
        M = M * (problem.mask[0].ravel() != 0)[:, None]
    ridge = problem.penalty.lmbda * problem.penalty.ridge
    return np.vstack([M, np.sqrt(ridge) * np.eye(M.shape[1])])


def check_optimality(problem, tol=1e-10):
    """Solve, and test the optimality conditions of every signal with the dense matrix."""
    solution = csc.solve(problem, tol=tol)
    assert solution.converged, solution
    assert solution.n_iter <= 2  # not FISTA
    M, penalty, value = dense(problem), problem.penalty, 0.0
    weights = 1.0 if penalty.weights is None else penalty.weights
    lmbdas = np.broadcast_to(penalty.lmbda * weights, (1, *problem.code_shape[1:])).ravel()
    for signal, codes in zip(problem.x, solution.codes, strict=True):
        x, z = np.zeros(len(M)), codes.ravel()
        x[: signal.size] = signal.ravel()
        q = M.T @ (x - M @ z)
        np.testing.assert_allclose(q[z != 0], (lmbdas * np.sign(z))[z != 0], atol=1e-6)
        assert ((q if penalty.positive else abs(q)) <= lmbdas + 1e-6).all()
        assert not penalty.positive or (z >= 0).all()
        assert z.any()
        value += naive_patch.lasso_value(M, x, z, lmbdas)
    if problem.mask is None:  # the dense signals hold unseen samples
        assert solution.objective == pytest.approx(value, rel=1e-9)


PENALTIES = {
    "l1": (csc.L1, {}),
    "positive": (csc.L1, {"positive": True}),
    "weights": (csc.L1, {"weights": True}),
    "elastic net": (csc.ElasticNet, {"ridge": 0.5}),
    "positive elastic net": (csc.ElasticNet, {"ridge": 0.5, "positive": True}),
}


def penalty_of(name, shape, lmbda=0.7):
    kind, options = PENALTIES[name]
    if "weights" in options:
        options = {"weights": np.linspace(0.5, 2, np.prod(shape)).reshape(shape)}
    return kind(lmbda, **options)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("mode", MODES)
def test_codes_are_those_of_the_dense_problem(penalty, mode, rng):
    D = csc.Dictionary(rng.standard_normal((3, 2, 4)), mode, 2)
    mask = None if penalty == "weights" else np.arange(12) % 5 > 0
    penalty = penalty_of(penalty, (3, *D.spatial_code_shape((12,))))
    check_optimality(csc.Problem(rng.standard_normal((2, 2, 12)), D, penalty, mask))


@pytest.mark.parametrize("penalty", ["elastic net", "positive elastic net"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_elastic_nets_of_patches(penalty, dtype, rng):
    D = csc.Dictionary(rng.standard_normal((9, 2, 3, 2)).astype(dtype))
    x = rng.standard_normal((7, 2, 3, 2)).astype(dtype)
    problem = csc.Problem(x, D, penalty_of(penalty, (9, 1, 1)))
    if dtype == "f8":
        check_optimality(problem)
    solution = csc.solve(problem)
    assert solution.n_iter <= 2
    assert type(solution.z) is np.ndarray
    assert solution.z.dtype == dtype
    again = csc.solve(problem, init=solution.z)
    np.testing.assert_allclose(again.z, solution.z, atol=1e-5)
    many = csc.Dictionary(rng.standard_normal((1025, 1, 2)))
    fastest = csc.solvers._select.fastest
    for atoms, solver in (
        (many.atoms, csc.solvers.FISTA),
        (many.atoms[:1024], csc.solvers.WorkingSet),
    ):
        patches = csc.Problem(np.ones((1, 1, 2)), csc.Dictionary(atoms), csc.ElasticNet(0.1, 1.0))
        assert type(fastest(patches)) is solver


def test_volumes_and_one_atom(rng):
    D = csc.Dictionary(rng.standard_normal((1, 1, 2, 2, 1)), "same")
    check_optimality(csc.Problem(rng.standard_normal((1, 1, 3, 4, 2)), D, csc.L1(0.1)))


@pytest.mark.parametrize("penalty", ["weights", "elastic net"])
def test_measured_signals(penalty, rng):
    D = csc.Dictionary(rng.standard_normal((3, 1, 3)))
    A = csc.operators.MeasuredDictionary(D, rng.standard_normal((8, 12)), (12,))
    check_optimality(csc.Problem(rng.standard_normal((2, 8)), A, penalty_of(penalty, (3, 10))))


@pytest.mark.parametrize("mode", MODES)
def test_groups(mode, rng):
    D = csc.Dictionary(rng.standard_normal((4, 2, 3)), mode, 2)
    x, penalty = rng.standard_normal((2, 2, 12)), csc.GroupL21(0.7, group_size=2)
    problem = csc.Problem(x, D, penalty, np.arange(12) % 5 > 0)
    solution = csc.solve(problem, tol=1e-10)
    assert solution.converged
    assert solution.n_iter <= 2
    assert (solution.codes != 0).any()
    violation = csc.certificates.kkt_violation(x, D, solution.codes, penalty, problem.mask)
    assert violation.max() < 1e-4


def test_single_precision_and_weights_of_inf(rng):
    weights = np.ones((3, 10), "f4")
    weights[1, 4:] = np.inf
    D = csc.Dictionary(rng.standard_normal((3, 1, 3)).astype("f4"))
    x = rng.standard_normal((1, 1, 12)).astype("f4")
    solution = csc.solve(csc.Problem(x, D, csc.L1(0.2, weights)), tol=1e-5)
    assert solution.converged
    assert (solution.codes[0, 1, 4:] == 0).all()
    kept = solution.problem.dictionary.adjoint(solution.problem.residual(solution.codes))
    allowed = abs(kept[0]) <= 0.2 * weights + 1e-4
    assert allowed.all()


def test_long_signals_with_a_mask_each_make_no_dense_matrix(rng):
    x, D = (
        rng.standard_normal((2, 1, 3000)),
        csc.Dictionary(rng.standard_normal((2, 1, 100)), "full", 50),
    )
    mask = rng.random(x.shape) < 0.8
    signals = csc.Problem(x, D, csc.L1(csc.Relative(0.1)), mask)
    assert not signals.structure.is_small  # 118 codes of 3000 samples
    assert csc.Problem(x, D, csc.L1(0.1), mask[:1]).structure.is_small
    assert csc.Problem(x[..., :1000], D, csc.L1(0.1), mask[..., :1000]).structure.is_small
    patches = csc.Dictionary(rng.standard_normal((118, 1, 3000)))
    assert csc.Problem(x, patches, csc.ElasticNet(0.1, 1.0), mask).structure.is_small
    ball = csc.Problem(x, D, csc.L1Ball(2.0), mask)
    assert type(fastest(ball)) is WorkingSet
    solution, exact = csc.solve(ball, FISTA(), tol=1e-8), csc.solve(ball, tol=1e-8)
    assert exact.objective == pytest.approx(solution.objective, rel=2e-8)
    solution = csc.solve(signals, tol=1e-8)
    for i in range(2):
        alone = csc.Problem(x[i : i + 1], D, signals.penalty, mask[i : i + 1])
        assert csc.solve(alone, WorkingSet(1e-9)).n_iter == 1  # with the Gram matrix
        codes = csc.solve(alone, tol=1e-8).codes
        np.testing.assert_allclose(solution.codes[i], codes[0], atol=1e-3 * abs(codes).max())


@pytest.mark.parametrize("masks", ["none", "each its own"])
def test_starts_and_blocks_of_signals_do_not_change_the_answer(masks, rng, monkeypatch):
    D, x = csc.Dictionary(rng.standard_normal((3, 1, 3))), rng.standard_normal((5, 1, 12))
    mask = None if masks == "none" else rng.random(x.shape) < 0.8
    problem = csc.Problem(x, D, csc.L1(0.1), mask)
    whole = csc.solve(problem, tol=1e-9)
    monkeypatch.setattr(_small_signals, "NUMBERS_PER_BLOCK", 60)
    for start in (None, whole.z, rng.standard_normal(whole.codes.shape)):
        again = csc.solve(problem, tol=1e-9, init=start)
        np.testing.assert_allclose(again.codes, whole.codes, atol=1e-7)


def test_problems_that_are_too_large_or_whose_matrix_differs_are_not_small(rng, monkeypatch):
    D, x = csc.Dictionary(rng.standard_normal((3, 1, 3))), rng.standard_normal((2, 1, 12))
    weights, mask = rng.uniform(1, 2, (2, 3, 10)), np.ones((2, 1, 12))
    assert csc.Problem(x, D, csc.L1(0.1), mask).structure.is_small
    mask[1, 0, 3] = 0
    for penalty, seen in [
        (csc.GroupL21(1.0, 3), mask),
        (csc.L1(0.1, weights), None),
        (csc.L1(0.0), None),
    ]:
        assert not csc.Problem(x, D, penalty, seen).structure.is_small
    monkeypatch.setattr(_small_form, "MAX_SMALL_CODES", 29)
    assert not csc.Problem(x, D, csc.L1(0.1)).structure.is_small


def test_a_dictionary_keeps_its_matrix_until_the_signals_change(rng):
    D = csc.Dictionary(rng.standard_normal((3, 1, 3)))
    x, values = rng.standard_normal((1, 1, 14)), {}
    for penalty in (csc.L1(0.2), csc.ElasticNet(0.2, 0.5)):  # a ridge must not stay
        for part in (x[..., :12], x, x[..., :12]):
            for dictionary in (D, csc.Dictionary(D.atoms)):
                problem = csc.Problem(np.ascontiguousarray(part), dictionary, penalty)
                objective = csc.solve(problem, tol=1e-9).objective
                key = type(penalty), part.size
                assert objective == pytest.approx(values.setdefault(key, objective), rel=1e-9)
    first, second = (matrix_and_gram(D, (12,)) for _ in range(2))
    assert first[1] is second[1]


@pytest.mark.parametrize("mode", MODES)
def test_the_matrix_synthesises_codes(mode, rng):
    D = csc.Dictionary(
        [rng.standard_normal((2, 2, 3, 2)), rng.standard_normal((1, 2, 1, 4))], mode, (1, 2)
    )
    z = rng.standard_normal((2, 3, *D.spatial_code_shape((5, 6))))
    rows = np.moveaxis(z, 1, -1).reshape(2, -1)
    found = rows @ synthesis_matrix(D, (5, 6))
    np.testing.assert_allclose(found.reshape(2, 2, 5, 6), D(z, (5, 6)), atol=1e-12)


@pytest.mark.parametrize("positive", [False, True])
def test_patches_with_weights_of_their_own_are_solved_exactly(positive, dtype, rng):
    atoms = rng.standard_normal((9, 2, 2, 3)).astype(dtype)
    x = 3 * rng.standard_normal((4, 2, 2, 3)).astype(dtype)
    weights = rng.uniform(0.5, 2, (4, 9, 1, 1)).astype(dtype)
    weights[1, 3], weights[2, 4] = 0, np.inf
    D, penalty = csc.Dictionary(atoms), partial(csc.L1, 0.7, positive=positive)
    problem = csc.Problem(x, D, penalty(weights))
    assert isinstance(fastest(problem), WorkingSet)
    tol = 1e-10 if dtype == "float64" else 1e-4
    solution = csc.solve(problem, tol=tol, max_iter=4)
    assert solution.converged, solution.message
    assert solution.codes.dtype == dtype
    assert not solution.codes[2, 4].any()
    for i, w in enumerate(weights):
        alone = csc.solve(
            csc.Problem(x[i : i + 1], D, penalty(w)), FISTA(), tol=tol, max_iter=50_000
        )
        np.testing.assert_allclose(solution.codes[i], alone.codes[0], atol=20 * tol**0.5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(4,), (20,), (5, 6), (3, 4, 3)], ids=str)
@pytest.mark.parametrize("penalty", ["lasso", "positive", "weights", "elastic net", "ball"])
def test_signals_with_a_mask_each_are_coded_as_each_alone(mode, shape, penalty, dtype, rng):
    atoms = rng.standard_normal((5, 2, *(min(n, 4) if len(shape) == 1 else 2 for n in shape)))
    D = csc.Dictionary(atoms.astype(dtype), mode)
    x = rng.standard_normal((4, 2, *shape)).astype(dtype)
    mask = rng.random(x.shape) < 0.7
    mask[1], mask[2, 1] = False, False
    places = D.spatial_code_shape(shape)
    penalty = {
        "lasso": csc.L1(0.3),
        "positive": csc.L1(0.3, positive=True),
        "weights": csc.L1(0.3, rng.uniform(0.5, 2, (1, 5, *places)).astype(dtype)),
        "elastic net": csc.ElasticNet(0.3, 0.5),
        "ball": csc.L1Ball(0.5),
    }[penalty]
    problem = csc.Problem(x, D, penalty, mask)
    assert problem.structure.is_small
    tol = 1e-10 if dtype == "float64" else 1e-5
    together = csc.solve(problem, WorkingSet(), tol=tol)
    assert together.converged, together.message
    assert not together.codes[1].any()
    for i in (0, 2, 3):  # nothing was observed of signal 1
        part = slice(i, i + 1)
        alone = csc.solve(csc.Problem(x[part], D, penalty, mask[part]), WorkingSet(), tol=tol)
        ours = csc.Problem(x[part], D, penalty, mask[part]).value(together.codes[part])
        assert ours == pytest.approx(alone.objective, rel=4 * tol, abs=1e-12)


def test_starts_with_a_mask_each_are_kept_if_they_are_optimal(rng):
    D = csc.Dictionary(rng.standard_normal((6, 1, 5)))
    x = rng.standard_normal((3, 1, 30))
    problem = csc.Problem(x, D, csc.L1(0.2), rng.random(x.shape) < 0.8)
    first = csc.solve(problem, tol=1e-9)
    again = csc.solve(problem, tol=1e-9, init=first.codes)
    np.testing.assert_allclose(again.codes, first.codes, atol=1e-9)
    far = csc.solve(problem, tol=1e-9, init=rng.standard_normal(problem.code_shape))
    np.testing.assert_allclose(far.codes, first.codes, atol=1e-6)


@pytest.mark.parametrize("penalty", [csc.L1(0.3), csc.ElasticNet(0.3, 0.5)], ids=["lasso", "net"])
def test_measured_signals_with_a_mask_each_have_the_minimum_of_fista(penalty, rng):
    atoms = csc.Dictionary(rng.standard_normal((3, 1, 5)))
    D = csc.MeasuredDictionary(atoms, rng.standard_normal((20, 30)), (30,))
    y = rng.standard_normal((4, 20))
    problem = csc.Problem(y, D, penalty, rng.random(y.shape) < 0.7)
    assert isinstance(fastest(problem), WorkingSet)
    ours = csc.solve(problem, tol=1e-9)
    theirs = csc.solve(problem, FISTA(), tol=1e-7, max_iter=20_000)
    assert ours.converged
    assert theirs.converged
    assert ours.objective == pytest.approx(theirs.objective, rel=2e-7)
