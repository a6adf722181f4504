"""Values and proximal operators of all penalties, by grids and by hand."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import csc

PENALTIES = [
    csc.L1(0.5),
    csc.L1(0.5, positive=True),
    csc.L1(0.0),
    csc.ElasticNet(0.5, ridge=2.0),
    csc.ElasticNet(0.5, positive=True),
    csc.L0(0.5),
    csc.L0(0.0),
    csc.L0(0.5, positive=True),
    csc.LogPenalty(0.5),
    csc.LogPenalty(3.0, scale=0.3),  # its scalar problem has two minima
    csc.LogPenalty(0.0),
]


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
@pytest.mark.parametrize("step", [0.1, 1.0, 3.0])
def test_prox_is_no_worse_than_any_point_of_a_grid(penalty, step):
    csc.testing.check_prox(penalty, step)


@settings(deadline=None)
@given(lmbda=st.floats(0, 50), scale=st.floats(0.05, 5), v=st.floats(-10, 10))
def test_log_prox_finds_the_better_of_two_minima(lmbda, scale, v):
    csc.testing.check_prox(csc.LogPenalty(lmbda, scale), 1.0, np.array([v]))


def test_check_prox_catches_a_wrong_threshold():
    class Wrong(csc.L0):
        def prox(self, z, step):
            return z * (abs(z) >= step * self.lmbda)

    with pytest.raises(AssertionError, match="has objective"):
        csc.testing.check_prox(Wrong(0.5), 1.0)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_prox_keeps_shape_and_precision(penalty, dtype, rng):
    z = rng.standard_normal((2, 3, 4)).astype(dtype)
    for step in (0.3, np.float64(0.3)):
        out = penalty.prox(z, step)
        assert (out.shape, out.dtype) == (z.shape, dtype)


def test_values_on_hand_computed_codes():
    z = np.array([[[-2.0], [0.0], [1.0]]])
    assert csc.L1(0.5).value(z) == 1.5
    assert csc.L1(0.5, weights=np.array([[1.0], [1.0], [4.0]])).value(z) == 3.0
    assert csc.L1(0.5, positive=True).value(z) == np.inf
    assert csc.L0(0.5).value(z) == 1.0
    assert csc.L0(0.5, positive=True).value(abs(z)) == 1.0
    assert csc.L0(0.5, positive=True).value(-abs(z)) == np.inf
    assert csc.LogPenalty(0.5, scale=2.0).value(z) == pytest.approx(0.5 * np.log(2 * 1.25))


@pytest.mark.parametrize(("precision", "size"), [("float32", 1e25), ("float64", 1e160)])
def test_the_log_penalty_of_huge_codes_does_not_overflow(precision, size):
    z, penalty = np.array([size, -size, 0], precision), csc.LogPenalty(0.5, scale=2.0)
    assert penalty.value(z) == pytest.approx(2 * np.log(size / 2))
    np.testing.assert_array_equal(penalty.prox(z, 1.0), z)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_no_codes_cost_nothing(penalty):
    assert penalty.value(np.zeros(0)) == 0


def test_learning_goes_on_where_a_batch_has_no_codes(rng):
    X = rng.standard_normal((4, 1, 12, 12))
    X[:2] *= 1e-3  # too faint for any code
    learner = csc.DictionaryLearning(3, (4, 4), 2.0, batch_size=1, max_iter=2, random_state=0)
    assert np.isfinite(learner.fit(X).atoms_).all()


def test_sums_are_accumulated_in_double():
    z = np.full((1, 1, 10_000_000), 0.1, np.float32)
    assert csc.L1(1.0).value(z) == pytest.approx(z.size * float(np.float32(0.1)), rel=1e-9)


def test_weighted_prox_thresholds_each_atom_at_its_own_lmbda():
    z = np.array([[[3.0], [3.0]]])
    prox = csc.L1(1.0, weights=np.array([[0.0], [2.0]])).prox(z, 1.0)
    np.testing.assert_array_equal(prox, [[[3.0], [1.0]]])


def test_group_prox_is_no_worse_than_its_neighbours(rng):
    penalty = csc.GroupL21(0.8, group_size=2)
    v = rng.standard_normal((1, 6, 4))
    u = penalty.prox(v, 1.5)
    silent = ~u.any(axis=2)
    assert 0 < (u == 0).sum() < u.size
    assert not silent.all()

    def cost(z):
        return 1.5 * penalty.value(z) + 0.5 * ((z - v) ** 2).sum()

    for scale in (1e-4, 1e-2, 1.0):
        for _ in range(200):
            assert cost(u) <= cost(u + scale * rng.standard_normal(v.shape)) + 1e-12


def test_groups_are_consecutive_atoms_at_one_position(dtype):
    z = np.zeros((2, 4, 2), dtype)
    z[0, :2, 0], z[0, 2, 1], z[1, 1, 1] = (3, 4), 2, 1
    penalty = csc.GroupL21(0.5, group_size=2)
    np.testing.assert_allclose(penalty.values(z), [3.5, 0.5])
    assert penalty.prox(z, np.float64(0.5)).dtype == dtype
    D = csc.Dictionary(np.ones((3, 1, 2), dtype))
    with pytest.raises(ValueError, match="group_size must divide the number of atoms"):
        csc.Problem(np.ones((1, 1, 5), dtype), D, penalty)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: csc.L1(-1.0), ValueError, "lmbda must be finite and >= 0.0, got -1.0"),
        (lambda: csc.L0(np.nan), ValueError, "lmbda must be finite"),
        (
            lambda: csc.LogPenalty("a"),
            TypeError,
            r"lmbda must be a number or csc.Relative\(0.1\), got str$",
        ),
        (lambda: csc.L1(csc.Relative), TypeError, r"csc.Relative\(0.1\), got type$"),
        (lambda: csc.L1(csc.L1(1.0)), TypeError, "got L1; a penalty goes into csc.Problem"),
        (lambda: csc.L1(np.array(0.5)), TypeError, "got ndarray; take the number in it"),
        (
            lambda: csc.ElasticNet([0.1, 0.2]),
            TypeError,
            r"got list; for one per code, pass csc.L1\(1.0, weights=",
        ),
        (lambda: csc.LogPenalty(1.0, scale=0.0), ValueError, "scale must be finite and > 0.0"),
        (lambda: csc.ElasticNet(1.0, ridge=0.0), ValueError, "ridge must be finite and > 0.0"),
        (lambda: csc.GroupL21(1.0, 0), ValueError, "group_size must be >= 1"),
        (lambda: csc.Relative(-0.1), ValueError, "fraction must be"),
        (lambda: csc.L1(1.0, weights=np.array([-1.0])), ValueError, "weights must be >= 0"),
    ],
)
def test_bad_penalties_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_positive_l0_learns_and_codes_without_negative_numbers(rng):
    X = abs(rng.standard_normal((60, 1, 4, 4)))
    penalty = csc.L0(0.05, positive=True)
    learner = csc.DictionaryLearning(6, (4, 4), penalty=penalty, max_iter=2, random_state=0).fit(X)
    problem = csc.Problem(X, learner.dictionary_, penalty)
    codes = np.asarray(csc.solve(problem).codes)
    assert (codes >= 0).all()
    assert (codes > 0).any()
    q = np.array([-3.0, 2.0])
    assert penalty.lmbda_max(q, np.ones(2)) == 2.0
    for solver in (csc.solvers.OMP(), csc.solvers.ConvOMP()):
        assert not solver.supports(problem)


@pytest.mark.parametrize(
    ("mode", "stride"), [("full", 1), ("same", 1), ("circular", 1), ("valid", 2)]
)
def test_lmbda_max_of_l0_is_that_of_the_best_single_code_of_what_was_seen(mode, stride, rng):
    D = csc.Dictionary(
        [rng.standard_normal((2, 2, 3)), rng.standard_normal((1, 2, 2))], mode, stride
    )
    x, mask = rng.standard_normal((1, 2, 9)), rng.random((2, 9)) < 0.6
    problem = csc.Problem(x, D, csc.L0(csc.Relative(1.0)), mask)
    best = 0.0
    for entry in np.ndindex(problem.code_shape):
        z = problem.zeros()
        z[entry] = 1
        seen = mask * D(z, (9,))
        if seen.any():
            best = max(best, (seen * x).sum() ** 2 / (2 * (seen**2).sum()))
    assert problem.penalty.lmbda == pytest.approx(best)


EXTREMES = {"float32": (1e-30, 1e30), "float64": (1e-160, 1e160)}
HOMOGENEOUS = {  # of z and of the thresholds
    "groups": lambda s: csc.GroupL21(0.3 * s, 2),
    "sparse groups": lambda s: csc.SparseGroupL21(0.3 * s, 2),
    "overlaps": lambda s: csc.GroupL21(0.3 * s, groups=[(0, 1), (1, 2, 3)]),
    "ball": lambda s: csc.L1Ball(2.0 * s),
    "l0": lambda s: csc.L0(0.2 * s * s),
    "log": lambda s: csc.LogPenalty(0.2 * s * s, 0.3 * s),
}


@pytest.mark.parametrize("dtype", EXTREMES)
@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_codes_whose_squares_overflow_or_underflow(name, dtype, rng):
    z, penalty = rng.standard_normal((2, 4, 3)), HOMOGENEOUS[name]
    expected = penalty(1.0).prox(z, 1.0)
    assert expected.any()
    squared = name in {"l0", "log"} and dtype == "float64"  # lmbda is to be a number
    for s in EXTREMES[dtype] if not squared else (1e-80, 1e80):
        found = penalty(s).prox((s * z).astype(dtype), 1.0)
        np.testing.assert_allclose(found / s, expected, atol=1e-5)
        if name in {"groups", "sparse groups", "overlaps"}:
            ratio = penalty(s).dual_norm((s * z).astype(dtype)) / penalty(1.0).dual_norm(z)
            np.testing.assert_allclose(ratio, 1, rtol=1e-5)


def test_small_balls_and_simplices_far_away(dtype):
    z = np.array([[[3.0], [5.0], [5.0]]]) * 2.0**60  # above 1 / eps of float64
    z = z.astype(dtype)
    np.testing.assert_array_equal(csc.L1Ball(1.0).prox(-z, 1.0).ravel(), [0, -0.5, -0.5])
    np.testing.assert_array_equal(csc.Simplex().prox(z, 1.0).ravel(), [0, 0.5, 0.5])


@pytest.mark.parametrize("kind", [csc.L1, csc.L0, partial(csc.ElasticNet, ridge=0.1)], ids=str)
def test_positive_is_true_or_false(kind):
    with pytest.raises(TypeError, match="positive must be True or False, got 'no'"):
        kind(0.1, positive="no")
    assert kind(0.1, positive=np.True_).positive
