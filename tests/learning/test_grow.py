"""Greedy growth of a dictionary."""

import numpy as np
import pytest

import csc
from csc.learning import _grow, grow


def series(rng, n_atoms=4):
    """Smooth waveforms of decreasing size at random times."""
    waveforms = csc.constraints.UnitSphere().project(rng.standard_normal((n_atoms, 1, 12)))
    z = rng.uniform(3, 5, (6, n_atoms, 189)) * (rng.random((6, n_atoms, 189)) < 0.008)
    z *= np.array([2.0, 1.5, 1.2, 1.0])[:n_atoms, None]
    return waveforms, csc.Dictionary(waveforms)(z) + 0.05 * rng.standard_normal((6, 1, 200))


def learner(**changes):
    options = {"batch_size": None, "max_iter": 6, "tol": 0, "random_state": 0} | changes
    return csc.DictionaryLearning(4, (12,), csc.Relative(0.1), **options)


def test_rounds_solve_one_problem_and_never_end_higher(rng, monkeypatch):
    truth, X = series(rng)
    rounds, step = [], _grow._next

    def recorded(*args):
        rounds.append(args[1])
        return step(*args)

    monkeypatch.setattr(_grow, "_next", recorded)
    grown = grow(learner(), X)
    rounds = [*rounds[1:], grown]
    assert [len(part.atoms_) for part in rounds] == [1, 2, 3, 4]
    assert len({part.penalty_.lmbda for part in rounds}) == 1
    values = [part.history_[-1].objective for part in rounds]
    assert (np.diff(values) < 0).all()
    assert grown.n_atoms == 4
    assert grown.lmbda == csc.Relative(0.1)
    assert csc.analysis.match_dictionaries(grown.atoms_, truth).scores.min() > 0.95


def test_the_first_atom_starts_as_the_window_with_most_energy(rng):
    X = [0.1 * rng.standard_normal((1, 30)) for _ in range(3)]
    X[1][0, 7:19] = 5 + np.arange(12)
    X[0][0, 2] = np.nan
    first = _grow._next(learner(), None, csc.learning._data.Signals(X), 1)
    expected = X[1][:, 7:19] / np.linalg.norm(X[1][:, 7:19])
    np.testing.assert_allclose(first.init, expected[None], atol=1e-12)
    assert grow(learner(max_iter=1), X).atoms_.shape == (4, 1, 12)


def test_an_interrupt_keeps_the_atoms_so_far(rng, monkeypatch):
    _, X = series(rng)
    step = csc.DictionaryLearning._step

    def interrupted(self, *args):
        if self.n_atoms == 3:
            raise KeyboardInterrupt
        step(self, *args)

    monkeypatch.setattr(csc.DictionaryLearning, "_step", interrupted)
    model = learner(max_iter=1)
    with pytest.raises(KeyboardInterrupt):
        grow(model, X)
    assert len(model.atoms_) == 3


def test_other_learners_and_initial_atoms_are_refused(rng):
    X = rng.standard_normal((2, 1, 40))
    with pytest.raises(TypeError, match=r"must be a csc\.DictionaryLearning, got KSVD"):
        grow(csc.learning.KSVD(2, (4,), 1), X)
    with pytest.raises(ValueError, match="leave init=None"):
        grow(learner(init=np.ones((4, 1, 12))), X)
