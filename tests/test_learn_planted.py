"""Planted atoms are found again, up to order, signs and shifts, from whole signals or half."""

import numpy as np
import pytest

import csc

CASES = {  # atoms (K, C, *s), signals (N, *S)
    "1-D": ((4, 1, 20), (40, 400)),
    "2-D": ((4, 1, 6, 6), (8, 40, 40)),
    "colours": ((4, 3, 5, 5), (6, 40, 40)),
}
SHARE, NOISE = 0.1, 0.02  # codes of an atom times its samples, a sample of the signal; deviation
# observed part, strength (half of an atom is half as loud; where both are weak, atoms fit noise),
# passes, and the score that is asked for
WHOLE, HALF = (1, 0.6, 15, 0.95), (0.5, 0.4, 30, 0.9)


def planted(shape, extents, rng):
    """Atoms, and signals made of few codes of them, of either sign and 1 to 3 large, and noise."""
    true, (n, *extents) = csc.UnitSphere().project(rng.standard_normal(shape)), extents
    D = csc.Dictionary(true)
    size = (n, len(true), *D.code_extents(tuple(extents)))
    z = rng.uniform(1, 3, size) * rng.choice([-1, 1], size)
    z *= rng.random(size) < SHARE / np.prod(shape[2:])
    x = D(z) + NOISE * rng.standard_normal((n, shape[1], *extents))
    return true, x.astype("float32")


def learn(X, true, lmbda, passes, start):
    """Atoms learned from noise, and their objective as a part of that of the planted ones."""
    rules = {"constraint": csc.UnitSphere(), "recentre_every": 5, "tol": 0}
    k, _, *extents = true.shape
    model = csc.DictionaryLearning(
        k, tuple(extents), lmbda, batch_size=None, max_iter=passes, random_state=start, **rules
    ).fit(X)
    planted = csc.solve(
        csc.Problem(np.nan_to_num(X), csc.Dictionary(true), csc.L1(lmbda), ~np.isnan(X)), tol=1e-3
    )
    return model.atoms_, model.history_[-1].objective * len(X) / planted.objective


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("observing", [WHOLE, HALF], ids=["whole", "half"])
@pytest.mark.parametrize(("shape", "extents"), CASES.values(), ids=CASES)
def test_planted_atoms_are_found_from_noise(shape, extents, observing, seed):
    (observed, lmbda, passes, score), rng = observing, np.random.default_rng(seed)
    true, X = planted(shape, extents, rng)
    X[rng.random(X.shape) > observed] = np.nan
    for start in range(4):  # local minima are known by their objective
        atoms, excess = learn(X, true.astype(X.dtype), lmbda, passes, start)
        if excess < 1.002:
            break
    assert csc.match_dictionaries(true, atoms).score >= score
