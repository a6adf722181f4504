"""Atoms that stay while others are learned."""

import numpy as np
import pytest

import csc
from csc.learning._statistics import sums_of_codes
from csc.learning._update import relax


@pytest.mark.parametrize("batch_size", [None, 3])
def test_the_first_atoms_stay_and_the_others_are_learned(batch_size, rng):
    bump = np.hanning(9)
    truth = csc.Dictionary(csc.constraints.UnitSphere().project(
        np.stack([np.eye(9)[4], bump, bump * np.linspace(-1, 1, 9)])[:, None]))  # fmt: skip
    z = rng.standard_normal((12, 3, 92)) * (rng.random((12, 3, 92)) < 0.05)
    x = truth(z) + 0.02 * rng.standard_normal((12, 1, 100))
    init = rng.standard_normal((3, 1, 9))
    init[0] = 0.7 * truth.atoms[0]  # not of unit norm: no projection touches it
    learner = csc.DictionaryLearning(
        3, (9,), 0.1, init=init, n_fixed=1, constraint=csc.constraints.UnitSphere(), replace_after=1,
        batch_size=batch_size, max_iter=25, random_state=0,
    ).fit(x)  # fmt: skip
    np.testing.assert_array_equal(learner.atoms_[0], init[0])
    np.testing.assert_allclose(np.linalg.norm(learner.atoms_[1:], axis=2), 1)
    if batch_size is None:
        match = csc.analysis.match_dictionaries(learner.atoms_[1:], truth.atoms[1:])
        assert match.scores.min() > 0.95
        objectives = [record.objective for record in learner.history_]
        assert objectives[-1] < objectives[0]


def test_blocks_of_atoms_end_where_the_fixed_ones_do(rng):
    X, init = rng.standard_normal((200, 1, 4, 4)), rng.standard_normal((40, 1, 4, 4))
    learner = csc.DictionaryLearning(
        40, (4, 4), 0.2, init=init, n_fixed=18, max_iter=1, batch_size=50, random_state=0
    ).fit(X)
    np.testing.assert_array_equal(learner.atoms_[:18], init[:18])
    start = csc.constraints.UnitBall().project(init)
    moved = (abs(learner.atoms_ - start).max(axis=(1, 2, 3)) > 1e-6)[18:]
    assert moved[:14].mean() > 0.5  # those next to fixed ones in a block of sixteen
    assert moved[14:].mean() > 0.5


def test_a_fixed_atom_without_codes_is_not_replaced(rng):
    init = rng.standard_normal((3, 1, 4))
    init[0] *= 1e-6
    learner = csc.DictionaryLearning(
        3,
        (4,),
        0.3,
        init=init,
        n_fixed=1,
        replace_after=1,
        batch_size=2,
        max_iter=3,
        random_state=0,
    ).fit(rng.standard_normal((6, 1, 20)))
    np.testing.assert_array_equal(learner.atoms_[0], init[0])


def test_over_relaxation_leaves_fixed_atoms(rng):
    old, sphere = rng.standard_normal((3, 1, 4)), csc.constraints.UnitSphere()
    z = rng.standard_normal((50, 3, 1))
    x = csc.Dictionary(old)(z)
    problem = csc.Problem(x, csc.Dictionary(old), csc.L1(0.1))
    statistics = sums_of_codes(problem, z)
    statistics = statistics._replace(
        phi=0 * statistics.phi
    )  # any atoms are as good: all is accepted
    further = relax(old, old + 0.1, statistics._replace(psi=0 * statistics.psi), sphere, (), 2)
    np.testing.assert_array_equal(further[:2], old[:2])
    assert not np.array_equal(further[2], old[2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_fixed": 1}, "give init"),
        ({"n_fixed": 3, "init": np.ones((3, 1, 4))}, "at least one atom"),
        ({"n_fixed": -1}, "n_fixed must be >= 0"),
        ({"n_fixed": 1, "init": np.ones((3, 1, 4)), "recentre_every": 2}, "recentre_every=None"),
    ],
)
def test_what_does_not_fit_is_refused(options, words, rng):
    with pytest.raises(ValueError, match=words):
        csc.DictionaryLearning(3, (4,), 0.1, **options).fit(rng.standard_normal((2, 1, 20)))
