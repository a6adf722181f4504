"""When `fit` stops by ``tol``, and which atoms it leaves."""

import numpy as np
import pytest

import csc
from csc.learning._step import StepRecord

RNG = np.random.default_rng(0)
TRUE = csc.constraints.UnitSphere().project(np.hanning(12) * RNG.standard_normal((5, 1, 12)))
CODES = RNG.laplace(size=(8, 5, 189)) * (RNG.random((8, 5, 189)) < 0.03)
X = csc.Dictionary(TRUE)(CODES) + 0.02 * RNG.standard_normal((8, 1, 200))


def learner(lmbda=0.1, **options):
    return csc.DictionaryLearning(5, (12,), lmbda, random_state=0, **options)


def off_centre():
    """An image of one atom, some noise, and the atom with a part outside of its window."""
    rng = np.random.default_rng(1)
    true = csc.constraints.UnitSphere().project(rng.standard_normal((1, 1, 7, 6)))
    z, start = np.zeros((1, 1, 54, 55)), np.zeros_like(true)
    z[0, 0, 12::12, 12::12] = rng.choice([-1.0, 1.0], z[0, 0, 12::12, 12::12].shape)
    start[:, :, 2:, :-1] = true[:, :, :-2, 1:]
    x = csc.Dictionary(true)(z) + 0.01 * rng.standard_normal((1, 1, 60, 60))
    options = {"init": csc.constraints.UnitSphere().project(start), "coding_tol": 1e-5}
    return x, csc.DictionaryLearning(1, (7, 6), 0.05, **options)


@pytest.mark.parametrize("every", [2, 3, 4])
@pytest.mark.parametrize("max_iter", [4, 5, 12])
def test_recentring_neither_ends_a_fit_nor_costs_the_best_atoms(every, max_iter):
    x, model = off_centre()
    model.set_params(recentre_every=every, max_iter=max_iter, tol=1e-2).fit(x)
    lines = model.history_
    shaken = [t for t, line in enumerate(lines, 1) if line.n_moved or line.n_replaced]
    assert shaken
    if model.n_iter_ < max_iter:
        assert model.n_iter_ >= shaken[-1] + 2
    assert -model.score(x) <= min(line.objective for line in lines) * (1 + 1e-4)


def test_atoms_kept_survive_a_checkpoint_and_go_with_other_signals(tmp_path):
    x, model = off_centre()
    model.set_params(recentre_every=2, tol=0)
    csc.save(tmp_path / "part.npz", model.set_params(max_iter=2).fit(x))
    part = csc.load(tmp_path / "part.npz").set_params(warm_start=True, max_iter=3)
    assert part.state_.kept is not None
    np.testing.assert_array_equal(part.atoms_, part.state_.kept)
    whole = model.set_params(max_iter=3).fit(x)
    np.testing.assert_array_equal(part.fit(x).atoms_, whole.atoms_)
    part = csc.load(tmp_path / "part.npz").set_params(warm_start=True, max_iter=3)
    assert part.fit(2 * x).state_.kept is None


def line(objective, *, lmbda=0.1, replaced=0, moved=0, energy=1.0):
    return StepRecord(1, objective, 1.0, replaced, lmbda, moved, energy)


@pytest.mark.parametrize(
    ("lines", "settled"),
    [
        ([line(2.0), line(1.0)], False),
        ([line(2.0)], False),
        ([line(1.0), line(1.0)], True),
        ([line(1.0), line(1.1)], True),  # online, one pass is not the other
        ([line(1.0, moved=1), line(1.1)], False),
        ([line(1.0), line(1.0, moved=1)], False),
        ([line(1.0, replaced=1), line(1.1)], False),
        ([line(1.0), line(1.0, replaced=1)], False),
        ([line(1.0), line(1.1, lmbda=0.2)], False),
        ([line(1.0), line(1.0, energy=2.0)], False),  # other signals
        ([line(1.0, moved=1), line(1.0), line(1.0)], True),
    ],
)
def test_only_passes_of_one_problem_are_compared(lines, settled):
    model = learner()
    model.history_ = lines
    assert model._converged(1) is settled


def test_norms_that_adapt_settle_nothing_by_a_rise():
    model = learner(homeostasis=csc.learning.HomeostaticGain())
    model.history_ = [line(1.0), line(1.1)]
    assert not model._converged(1)
    model.history_ = [line(1.0), line(1.0)]
    assert model._converged(1)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_target_of_sparsity_is_reached_before_tol_ends_the_fit(batch_size):
    options = {"batch_size": batch_size, "max_iter": 40}
    model = learner(csc.TargetSparsity(30), **options).fit(X)
    assert (model.transform(X) != 0).sum() / 8 == pytest.approx(30, rel=0.06)


def test_a_fit_on_other_signals_does_not_end_because_of_those_before():
    model = learner(max_iter=3, tol=1e-2).fit(X)
    model.set_params(warm_start=True, max_iter=8).fit(5 * X)  # a rise, but of another problem
    assert model.n_iter_ > 4
