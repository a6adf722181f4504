"""Learning has no unit: signals and lmbda times c give the same atoms in as many passes."""

import numpy as np
import pytest

import csc

RNG = np.random.default_rng(0)
TRUE = csc.constraints.UnitSphere().project(RNG.standard_normal((5, 1, 12)))
CODES = RNG.laplace(size=(8, 5, 89)) * (RNG.random((8, 5, 89)) < 0.03)
X = csc.Dictionary(TRUE)(CODES) + 0.02 * RNG.standard_normal((8, 1, 100))
INIT = RNG.standard_normal((5, 1, 12))


def batch(c):
    options = {"init": c * INIT, "constraint": csc.constraints.UnitSphere(), "tol": 1e-3}
    return csc.DictionaryLearning(5, (12,), 0.1 * c, batch_size=None, **options)


def online(c):
    options = {"homeostasis": csc.learning.HomeostaticGain(), "random_state": 0, "max_iter": 4}
    return csc.DictionaryLearning(5, (12,), 0.1 * c, batch_size=2, **options)


def layers(c):
    sizes = [(5, (12,)), (4, (5,))]
    parts = [csc.DictionaryLearning(k, s, 0.1 * c, max_iter=2) for k, s in sizes]
    return csc.MultiLayerDictionaryLearning(parts, 3, max_iter=3, random_state=0)


@pytest.mark.slow
@pytest.mark.parametrize("c", [1e-6, 1e6])
@pytest.mark.parametrize("learner", [batch, online, layers])
def test_atoms_and_passes_are_those_of_any_scale(learner, c):
    here, there = learner(1.0).fit(X), learner(c).fit(c * X)
    assert here.n_iter_ == there.n_iter_
    lists = [m.atoms_ if isinstance(m.atoms_, list) else [m.atoms_] for m in (here, there)]
    for a, b in zip(*lists, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_weights_that_differ_between_signals_are_refused():
    weights = np.ones((8, 5, 89))
    penalty = csc.L1(0.1, weights=weights)
    one = csc.DictionaryLearning(5, (12,), penalty=penalty, batch_size=2)
    deep = csc.MultiLayerDictionaryLearning([one], batch_size=2)
    for learner in (one, deep):
        with pytest.raises(ValueError, match=r"weights of shape \(8, 5, 89\) differ between"):
            learner.fit(X)
    whole = csc.DictionaryLearning(
        5, (12,), penalty=csc.L1(0.1, weights=weights[:1]), batch_size=2, max_iter=1, random_state=0
    ).fit(X)
    plain = csc.DictionaryLearning(5, (12,), 0.1, batch_size=2, max_iter=1, random_state=0).fit(X)
    np.testing.assert_allclose(whole.atoms_, plain.atoms_, atol=0.02)  # to the gap of the codes
