"""``sample_weight``: an integer weight is that of a signal given several times."""

import numpy as np
import pytest

import csc
from csc.learning import extended_window_sums, summarise
from csc.learning._data import Signals
from csc.learning._dead_atoms import worst_windows
from csc.learning._encode import encode
from csc.learning._statistics import sums_of_codes

PENALTIES = {
    "L1": {"lmbda": 0.3},
    "relative": {"lmbda": csc.Relative(0.1)},
    "L0": {"penalty": csc.L0(0.2)},
    "groups": {"penalty": csc.GroupL21(0.2, 2)},
    "homeostasis": {"lmbda": 0.3, "homeostasis": csc.learning.HomeostaticGain()},
}
WEIGHT = np.arange(24) % 4


def both(X, again, shape, rng, mask=None, masks=None, **options):
    """Learners of weighted signals and of the same signals repeated."""
    options = {"batch_size": None, "max_iter": 4, "tol": 0, "coding_tol": 1e-9} | options
    options["init"] = rng.standard_normal((4, 1, *shape))
    learners = [csc.DictionaryLearning(4, shape, **options) for _ in range(2)]
    weighted = learners[0].fit(X, mask=mask, sample_weight=WEIGHT)
    return weighted, learners[1].fit(again, mask=masks)


def assert_same(one, other):
    assert np.ptp(one.atoms_) > 0
    np.testing.assert_allclose(one.atoms_, other.atoms_, atol=1e-6)
    for a, b in zip(one.history_, other.history_, strict=True):
        mean = [(r.objective, r.n_nonzero, r.energy) for r in (a, b)]
        np.testing.assert_allclose(*mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "shape"),
    [*((name, (6,)) for name in PENALTIES), *((name, (3,)) for name in ("L1", "L0", "groups"))],
)
def test_an_integer_weight_is_repetition(name, shape, rng):
    X = rng.laplace(size=(24, 1, 6))
    assert_same(*both(X, X.repeat(WEIGHT, axis=0), shape, rng, **PENALTIES[name]))


def test_lists_with_masks(rng):
    X = [rng.laplace(size=(1, 9 + n % 3)) for n in range(24)]
    masks = [rng.random(x.shape) < 0.9 for x in X]
    again, seen = ([a[n] for n in range(24) for _ in range(WEIGHT[n])] for a in (X, masks))
    assert_same(*both(X, again, (5,), rng, lmbda=0.3, mask=masks, masks=seen))


def test_statistics_of_other_data_terms_are_weighted(rng):
    x, z, again = rng.laplace(size=(3, 1, 6)), rng.standard_normal((3, 4, 1)), [0, 1, 1, 2, 2, 2]
    D, huber = csc.Dictionary(rng.standard_normal((4, 1, 6))), csc.data_terms.Huber(0.5)
    one, other = (csc.Problem(a, D, csc.L1(0.3), data_term=huber) for a in (x, x[again]))
    weighted = sums_of_codes(one, z, np.array([1.0, 2.0, 3.0]))
    for a, b in zip(weighted, sums_of_codes(other, z[again]), strict=True):
        np.testing.assert_allclose(a, b)


def test_sums_that_recentre_atoms_are_weighted(rng):
    X, D = rng.laplace(size=(4, 1, 9)), csc.Dictionary(rng.standard_normal((2, 1, 5)))
    weighted, repeated = Signals(X, None, [1, 0, 2, 3]), Signals(X[[0, 2, 2, 3, 3, 3]])
    sums = []
    for signals in (weighted, repeated):
        groups = signals.take(np.arange(len(signals)))
        [coded] = encode(groups, D, csc.L1(0.3), None, 1e-9)
        sums.append(extended_window_sums(coded, [2]))
    np.testing.assert_allclose(sums[0][0], sums[1][0], atol=1e-9)
    np.testing.assert_allclose(sums[0][1], sums[1][1])


def test_online_a_batch_has_the_weights_of_its_signals(rng):
    X = rng.laplace(size=(24, 1, 6)).astype("float32")
    weight = rng.random(24) + 0.5
    options = {"batch_size": 5, "max_iter": 2, "random_state": 0}
    one = csc.DictionaryLearning(4, (6,), 0.3, **options).fit(X, sample_weight=weight)
    steps = csc.DictionaryLearning(4, (6,), 0.3, **options)
    order = [np.sort(p[b : b + 5]) for p in _permutations(one.seed_, 24) for b in range(0, 24, 5)]
    for batch in order:
        steps.partial_fit(X[batch], sample_weight=weight[batch])
    np.testing.assert_array_equal(one.atoms_, steps.atoms_)
    assert one.atoms_.dtype == "float32"


def _permutations(seed, n):
    return [np.random.default_rng((seed, 1, epoch)).permutation(n) for epoch in range(2)]


def test_dead_atoms_become_signals_that_weigh_most(rng):
    X = rng.standard_normal((3, 1, 6))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    groups = Signals(X, None, [1.0, 3.0, 2.0]).take(np.arange(3))
    [coded] = encode(groups, csc.Dictionary(np.ones((2, 1, 6))), csc.L1(50.0), None, 1e-6)
    [(energy, window)] = worst_windows(coded, (6,), 1)
    assert energy == pytest.approx(3.0)
    np.testing.assert_array_equal(window, X[1])
    assert summarise(coded).weighted_positions == 6


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 2.0], r"one number per signal of X, \(24,\), got shape \(2,\)"),
        (np.full(24, -1.0), "finite and >= 0"),
        (np.full(24, np.nan), "finite and >= 0"),
        (np.zeros(24), "not 0 for all signals"),
    ],
)
def test_wrong_weights_are_refused(weight, message, rng):
    learner = csc.DictionaryLearning(4, (6,), 0.3)
    with pytest.raises(ValueError, match=message):
        learner.fit(rng.laplace(size=(24, 1, 6)), sample_weight=weight)
    assert not hasattr(learner, "state_")


DEEP = {"lmbda": (0.0, 0.3)}  # only the deepest codes are penalised
ALL = {"lmbda": (0.05, 0.2), "pursuit": csc.solvers.MLFISTA()}


def layered(rng, **options):
    """Learner of two layers with given atoms, whose codes take a fixed number of iterations."""
    first, second = rng.standard_normal((4, 1, 3)), rng.standard_normal((5, 4, 2))
    each = {"batch_size": None, "max_iter": 2, "tol": 0, "coding_tol": 1e-9}
    layers = [
        csc.DictionaryLearning(4, (3,), 0.1, init=first, **each),
        csc.DictionaryLearning(5, (2,), 0.1, init=second, **each),
    ]
    options = {"max_iter": 3, "tol": 0, "coding_tol": 1e-12, "coding_iter": 20} | options
    return csc.MultiLayerDictionaryLearning(layers, random_state=0, **options)


@pytest.mark.parametrize(
    "options", [DEEP, ALL, ALL | {"pretrain": False}], ids=["deep", "all", "joint"]
)
def test_layers_learn_from_weights_as_from_repetition(options, rng):
    X, seed = rng.laplace(size=(24, 1, 9)), rng.integers(2**31)
    one, other = (layered(np.random.default_rng(seed), **options) for _ in range(2))
    one.fit(X, sample_weight=WEIGHT)
    other.fit(X.repeat(WEIGHT, axis=0))
    for a, b in zip(one.atoms_, other.atoms_, strict=True):
        assert np.ptp(a) > 0
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(one.history_, other.history_, strict=True):
        mean = [(r.objective, r.n_nonzero, r.energy) for r in (a, b)]
        np.testing.assert_allclose(*mean, rtol=1e-6)
    score = one.score(X, sample_weight=WEIGHT)
    assert score == pytest.approx(one.score(X.repeat(WEIGHT, axis=0)), rel=1e-6)
    assert score != pytest.approx(one.score(X), rel=1e-3)


def test_layers_that_are_coded_in_parts_keep_their_weights(rng, monkeypatch):
    monkeypatch.setattr("csc.learning.multilayer._encode.MAX_LAYERED_CODES", 200)
    X, weight = rng.laplace(size=(24, 1, 9)).astype("float32"), rng.random(24)
    learner = layered(rng, pretrain=False, **ALL).partial_fit(X, sample_weight=weight)
    assert {d.dtype for d in learner.atoms_} == {np.dtype("float32")}
    parts = learner._coded(Signals(X, None, weight).take(np.arange(24)))
    assert len(parts) > 3
    for part in parts:
        own = [np.flatnonzero((x == X).all(axis=(1, 2))).item() for x in part.problem.x]
        np.testing.assert_array_equal(part.flat.weight, weight[own])


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"lmbda": 0.3},
        {"penalty": csc.GroupL21(0.2, 2)},
        {"penalty": csc.L0(0.2)},
        {"lmbda": 0.3, "data_term": csc.data_terms.Huber(0.5)},
        {"penalty": csc.L1(0.3, weights=np.arange(1.0, 5)[:, None])},
        {
            "penalty": csc.L1(0.3, weights=np.arange(1.0, 5)[:, None]),
            "gradient_weights": np.ones(4),
        },
    ],
    ids=str,
)
def test_scores_are_weighted(options, rng):
    size = 3 if "gradient_weights" in options else 6  # signals, or patches
    X = rng.laplace(size=(24, 1, 6)) * (1 + WEIGHT)[:, None, None]
    X[0, 0, 2] = X[3, 0, 1] = np.nan
    learner = csc.DictionaryLearning(
        4, (size,), batch_size=None, max_iter=1, coding_tol=1e-9, random_state=0, **options
    ).fit(X)
    score = learner.score(X, sample_weight=WEIGHT)
    assert score == pytest.approx(learner.score(X.repeat(WEIGHT, axis=0)), rel=1e-6)
    assert score != pytest.approx(learner.score(X), rel=1e-3)
