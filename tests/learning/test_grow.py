"""Greedy growth of a dictionary."""

import os
import signal

import numpy as np
import pytest

import csc
from csc.learning import _grow, grow
from csc.learning._data import Signals


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


def stop_at(monkeypatch, number, *, before_step=True):
    """The process receives a signal in the third round: in its second step, or before its first state."""
    name = "_step" if before_step else "_init_state"
    call = getattr(csc.DictionaryLearning, name)

    def stopped(self, *args):
        if self.n_atoms == 3 and (not before_step or self.state_.n_steps == 1):
            os.kill(os.getpid(), number)
        call(self, *args)

    monkeypatch.setattr(csc.DictionaryLearning, name, stopped)


def test_the_first_atom_starts_as_the_signal_that_weighs_most(rng):
    X = rng.standard_normal((3, 1, 6)) / np.array([3, 1, 1]).reshape(3, 1, 1)
    signals = Signals(X, None, [100, 0.1, 1])
    first = _grow._next(csc.DictionaryLearning(1, (6,), 0.1), None, signals, 1)
    np.testing.assert_allclose(first.init, csc.constraints.UnitSphere().project(X[:1]))


@pytest.mark.parametrize("before_step", [True, False])
def test_after_ctrl_c_it_continues_as_if_it_had_not_stopped(before_step, rng, monkeypatch):
    _, X = series(rng)
    whole = grow(learner(max_iter=3), X)
    model = learner(max_iter=3)
    with monkeypatch.context() as patch:
        stop_at(patch, signal.SIGINT, before_step=before_step)
        with pytest.warns(UserWarning, match=r"kept; csc\.learning\.grow with warm_start=True"):
            assert grow(model, X) is model
    n_atoms, n_steps = (3, 1) if before_step else (2, 3)
    assert (len(model.atoms_), model.state_.n_steps) == (n_atoms, n_steps)
    np.testing.assert_array_equal(grow(model.set_params(warm_start=True), X).atoms_, whole.atoms_)
    assert model.history_ == whole.history_


def test_sigterm_ends_the_process_and_leaves_a_checkpoint(rng, monkeypatch, tmp_path):
    _, X = series(rng)
    whole, path = grow(learner(max_iter=3), X), tmp_path / "atoms.npz"
    with monkeypatch.context() as patch:
        stop_at(patch, signal.SIGTERM)
        with (
            pytest.warns(UserWarning, match="interrupted after 1 steps"),
            pytest.raises(SystemExit, match="143"),
        ):
            grow(learner(max_iter=3, checkpoint=path), X)
    np.testing.assert_array_equal(grow(csc.resume(path), X).atoms_, whole.atoms_)
    assert len(csc.load(path).atoms_) == 4


def test_checkpoints_are_written_while_it_grows(rng, monkeypatch, tmp_path):
    _, X = series(rng)
    stop_at(monkeypatch, signal.SIGKILL)
    monkeypatch.setattr(os, "kill", lambda *_: 1 / 0)  # as a crash: nothing else is written
    with pytest.raises(ZeroDivisionError):
        grow(learner(max_iter=3, checkpoint=tmp_path / "a.npz", checkpoint_every=1), X)
    saved = csc.load(tmp_path / "a.npz")
    assert (len(saved.atoms_), saved.state_.n_steps) == (3, 1)


def test_other_learners_and_initial_atoms_are_refused(rng):
    X = rng.standard_normal((2, 1, 40))
    with pytest.raises(TypeError, match=r"must be a csc\.DictionaryLearning, got KSVD"):
        grow(csc.learning.KSVD(2, (4,), 1), X)
    with pytest.raises(ValueError, match="leave init=None"):
        grow(learner(init=np.ones((4, 1, 12))), X)
    model = learner(max_iter=1).fit(rng.standard_normal((2, 1, 40)))
    with pytest.raises(ValueError, match="n_atoms is 2 but 4 atoms are learned so far"):
        grow(model.set_params(n_atoms=2, warm_start=True), X)
