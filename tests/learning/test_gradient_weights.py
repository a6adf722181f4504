"""A gradient term on codes in learning: the objective is that of its definition."""

import numpy as np
import pytest
from sklearn.base import clone

import csc

WEIGHTS = np.array([0.7, 0.0, 0.2])


def by_definition(x, atoms, codes, lmbda, mode, w):
    """Mean objective of signals, with differences of codes by hand."""
    fit = csc.Dictionary(atoms, mode)(codes, x.shape[2:])
    total = ((x - fit) ** 2).sum() / 2 + lmbda * abs(codes).sum()
    for axis in range(2, codes.ndim):
        if mode == "full":  # codes are zero beyond their array
            pad = [(0, 0)] * codes.ndim
            pad[axis] = (1, 1)
            moved = np.diff(np.pad(codes, pad), axis=axis)
        else:
            moved = codes - np.roll(codes, 1, axis)
        squares = (moved**2).sum(axis=(0, *range(2, codes.ndim)))
        total += (w * squares).sum() / 2
    return total / len(x)


@pytest.mark.parametrize(
    ("mode", "shape", "atom_shape", "c"),
    [
        ("circular", (20,), (4,), 2),
        ("full", (9, 8), (3, 2), 1),
        ("circular", (5, 4, 6), (2, 2, 3), 1),
    ],
)
def test_the_objective_has_the_term(mode, shape, atom_shape, c, dtype, rng):
    x = rng.standard_normal((3, c, *shape)).astype(dtype)
    learner = csc.DictionaryLearning(
        3, atom_shape, 0.3, mode=mode, gradient_weights=WEIGHTS, batch_size=None, max_iter=3,
        coding_tol=1e-5, tol=0, random_state=0,
    ).fit(x)  # fmt: skip
    codes = learner.transform(x)
    assert codes.dtype == learner.atoms_.dtype == dtype
    expected = by_definition(x, learner.atoms_, codes, 0.3, mode, WEIGHTS)
    assert -learner.score(x) == pytest.approx(expected, rel=1e-5)
    again = clone(learner).set_params(init=learner.atoms_, max_iter=1).fit(x)
    assert again.history_[0].objective == pytest.approx(expected, rel=0.2)
    assert again.history_[0].objective >= expected * (1 - 1e-5)
    values = [record.objective for record in learner.history_]
    assert values == sorted(values, reverse=True)


def test_weights_of_signals_count_repetitions(rng):
    x = rng.standard_normal((3, 1, 20))
    options = {"gradient_weights": WEIGHTS, "mode": "circular", "max_iter": 2, "random_state": 0}
    learner = csc.DictionaryLearning(3, (4,), 0.3, batch_size=None, **options)
    one = learner.fit(x, sample_weight=[2, 1, 0]).atoms_
    two = learner.fit(x[[0, 0, 1]]).atoms_
    np.testing.assert_allclose(one, two, rtol=0.05, atol=0.02)  # codes to the tolerance of a step


def test_learners_are_saved_and_bad_weights_refused(tmp_path, rng):
    x = rng.standard_normal((3, 1, 20))
    learner = csc.DictionaryLearning(
        3, (4,), 0.3, gradient_weights=WEIGHTS, max_iter=1, random_state=0
    ).fit(x)
    csc.save(tmp_path / "l.npz", learner)
    np.testing.assert_array_equal(csc.load(tmp_path / "l.npz").transform(x), learner.transform(x))
    for options, message in (
        ({"gradient_weights": [1.0]}, "must be 3 finite numbers >= 0, one for each atom"),
        ({"gradient_weights": [1.0, np.inf, 0.0]}, "must be 3 finite numbers"),
        ({"mode": "same"}, "gradient_weights need mode 'circular' or 'full'"),
        ({"stride": 2}, "need mode 'circular' or 'full', stride 1"),
        ({"lmbda": csc.TargetSparsity(2)}, "got a TargetSparsity"),
    ):
        changed = clone(learner).set_params(**options)
        with pytest.raises(ValueError, match=message):
            changed.fit(x)
    with pytest.raises(ValueError, match="gradient_weights=None"):
        csc.learning.grow(learner, x)
