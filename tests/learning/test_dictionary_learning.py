"""Dictionary learning: updates against transcriptions, convergence, resume and input checks."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import csc
from csc.learning import _statistics as stats
from csc.learning._batch import Batch
from csc.learning._step import EncodedBatch, StepConfig, init_state, update_state
from csc.learning._update import RELAXATION, descend, relax
from reference import lasso as naive


def planted(rng, n=600, k=8, shape=(1, 4, 4), dtype="float64"):
    """Signals made of few of k random unit atoms each."""
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((k, *shape)))
    codes = rng.standard_normal((n, k)) * (rng.random((n, k)) < 0.15)
    return atoms.astype(dtype), (codes @ atoms.reshape(k, -1)).reshape(n, *shape).astype(dtype)


def learner(**changes):
    defaults = {
        "n_atoms": 8, "atom_shape": (4, 4), "lmbda": 0.1, "random_state": 0,
        "batch_size": 100, "max_iter": 5, "tol": 0,
    }  # fmt: skip
    return csc.DictionaryLearning(**(defaults | changes))


def statistics_of(rng, n=50, k=12, size=9):
    x, z = rng.standard_normal((n, 1, size)), rng.standard_normal((n, k, 1))
    z *= abs(z) > 0.8
    problem = csc.Problem(x, csc.Dictionary(np.ones((k, 1, size))), csc.L1(1.0))
    return stats.sums_of_codes(problem, z), x, z


def test_statistics_give_the_data_term_of_any_atoms(rng):
    s, x, z = statistics_of(rng)
    d = rng.standard_normal((12, 1, 9))
    direct = 0.5 * ((x[:, 0] - z[:, :, 0] @ d[:, 0]) ** 2).sum()
    assert stats.data_term(s, d) == pytest.approx(direct)


def test_statistics_add_up_in_any_order(rng):
    parts = [statistics_of(rng)[0] for _ in range(3)]
    forward = stats.blend(stats.blend(parts[0], parts[1], 1), parts[2], 1)
    backward = stats.blend(stats.blend(parts[2], parts[0], 1), parts[1], 1)
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_allclose(a, b)


@pytest.mark.parametrize(
    "constraint",
    [
        csc.constraints.UnitBall(),
        csc.constraints.UnitSphere(),
        csc.constraints.ZeroMean() & csc.constraints.UnitBall(),
    ],
    ids=repr,
)
def test_update_never_raises_the_objective_and_obeys_the_constraint(constraint, rng):
    s, _, _ = statistics_of(rng, k=40)
    d = constraint.project(rng.standard_normal((40, 1, 9)))
    values = [stats.data_term(s, d)]
    for _ in range(20):
        d = descend(d, s, constraint)
        values.append(stats.data_term(s, d))
        np.testing.assert_allclose(constraint.project(d), d, atol=1e-12)
    assert (np.diff(values) <= 1e-9).all()
    assert values[-1] < 0.9 * values[0]


def test_update_in_blocks_of_one_is_mairals(rng, monkeypatch):
    s, _, _ = statistics_of(rng)
    d = csc.constraints.UnitBall().project(rng.standard_normal((12, 1, 9)))
    monkeypatch.setattr("csc.learning._update.ATOMS_PER_BLOCK", 1)
    ours = descend(d, s, csc.constraints.UnitBall())
    np.testing.assert_allclose(ours[:, 0], naive.mairal_block_update(s.phi, s.psi, d[:, 0]))


def test_unused_atoms_stay(rng):
    s, _, _ = statistics_of(rng)
    unused = np.arange(12) == 5
    d = csc.constraints.UnitBall().project(rng.standard_normal((12, 1, 9)))
    moved = descend(d, stats.forget_atoms(s, unused), csc.constraints.UnitBall())
    np.testing.assert_array_equal(moved[5], d[5])
    assert not np.allclose(moved[4], d[4])


class Anything:
    """No constraint at all."""

    def project(self, atoms):
        return atoms


def test_relaxed_update_keeps_the_part_of_the_gain_that_is_promised(rng):
    s, _, _ = statistics_of(rng)
    old = rng.standard_normal((12, 1, 9))
    best = np.linalg.solve(s.phi, s.psi).reshape(old.shape)
    further = relax(old, best, s, Anything())
    np.testing.assert_allclose(further - old, RELAXATION * (best - old))
    before, least, after = (stats.data_term(s, d) for d in (old, best, further))
    assert before - after == pytest.approx(RELAXATION * (2 - RELAXATION) * (before - least))


def test_relaxed_update_that_would_raise_the_objective_is_not_made(rng):
    class Wrong(Anything):
        def project(self, atoms):
            return -5 * atoms

    s, _, _ = statistics_of(rng)
    old = rng.standard_normal((12, 1, 9))
    new = descend(old, s, csc.constraints.UnitBall())
    assert relax(old, new, s, Wrong()) is new


def test_relaxed_updates_learn_sooner_in_batch_and_are_not_made_online(rng, monkeypatch):
    _, X = planted(rng)
    found = {}
    for reach in (1.0, RELAXATION):
        monkeypatch.setattr("csc.learning._update.RELAXATION", reach)
        for size in (100, None):
            model = learner(lmbda=0.3, batch_size=size, max_iter=8, coding_tol=1e-9).fit(X)
            found[reach, size] = -model.score(X)
    assert found[1.0, 100] == found[RELAXATION, 100]
    assert found[RELAXATION, None] < 0.99 * found[1.0, None]


@pytest.mark.parametrize("batch_size", [100, None], ids=["online", "batch"])
@pytest.mark.parametrize(
    "choice", [{"lmbda": 0.3}, {"lmbda": None, "penalty": csc.L0(0.1)}], ids=["l1", "l0"]
)
def test_planted_atoms_are_found(batch_size, choice, rng):
    atoms, X = planted(rng, n=3000)
    found = learner(batch_size=batch_size, max_iter=15, **choice).fit(X).dictionary_.matrix
    cosines = abs(atoms.reshape(8, -1) @ found.T) / np.linalg.norm(found, axis=1)
    assert (cosines.max(axis=1) > 0.95).sum() >= 6  # the rest: local minima


@pytest.mark.parametrize(
    "penalty", [csc.L1(0.1), csc.L1(0.1, positive=True), csc.LogPenalty(0.1, 0.3)]
)
def test_batch_learning_never_raises_the_objective(penalty, rng):
    _, X = planted(rng)
    fitted = learner(
        lmbda=None, penalty=penalty, batch_size=None, max_iter=20, coding_tol=1e-9
    ).fit(X)
    objectives = np.array([line.objective for line in fitted.history_])
    assert (np.diff(objectives) <= 1e-8 * objectives[0]).all()
    assert objectives[-1] < 0.7 * objectives[0]


def test_history_counts_what_happened(rng):
    _, X = planted(rng, n=250)
    fitted = learner(max_iter=2).fit(X)
    assert [line.n_signals for line in fitted.history_] == [100, 200, 250, 350, 450, 500]
    assert fitted.n_iter_ == 2
    first = fitted.history_[0]
    assert first.objective > fitted.history_[-1].objective > 0
    assert 0 < first.n_nonzero < 8


def test_precision_is_kept(dtype, rng):
    _, X = planted(rng, dtype=dtype)
    fitted = learner().fit(X)
    codes = fitted.transform(X)
    assert fitted.atoms_.dtype == codes.dtype == fitted.inverse_transform(codes).dtype == dtype
    assert codes.shape == (600, 8, 1, 1)


def test_score_is_minus_the_mean_objective(rng):
    _, X = planted(rng)
    fitted = learner().fit(X)
    problem = csc.Problem(X, fitted.dictionary_, csc.L1(0.1))
    assert fitted.score(X) == pytest.approx(-problem.value(fitted.transform(X)) / len(X))
    assert fitted.score(X) > learner(max_iter=1).fit(X[:100]).score(X)


def test_same_seed_same_atoms_other_seed_other_atoms(rng):
    _, X = planted(rng)
    first = learner().fit(X).atoms_
    np.testing.assert_array_equal(first, learner().fit(X).atoms_)
    np.testing.assert_array_equal(
        first, learner(random_state=np.random.RandomState(0)).fit(X).atoms_
    )
    assert not np.allclose(first, learner(random_state=1).fit(X).atoms_)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [1, 2, 7, 19])
@pytest.mark.parametrize(
    "mode",
    [
        {},
        {"homeostasis": csc.learning.HomeostaticGain(), "replace_after": 50},
        {"batch_size": None, "max_iter": 25},
        {"batch_size": None, "max_iter": 25, "lmbda": None, "penalty": csc.LogPenalty(0.1, 0.3)},
    ],
    ids=["online", "homeostasis", "batch", "batch log"],
)
def test_resumed_from_a_file_is_bit_identical(stop_at, mode, rng, tmp_path, monkeypatch):
    _, X = planted(rng)
    whole, part, steps = learner(**mode).fit(X), learner(**mode), []
    take_step = type(part)._step

    def interrupted(self, *args):
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        steps.append(1)
        return take_step(self, *args)

    monkeypatch.setattr(type(part), "_step", interrupted)
    with pytest.warns(UserWarning, match=f"interrupted after {stop_at} steps"):
        part.fit(X)
    monkeypatch.undo()
    csc.save(tmp_path / "part.npz", part)
    again = csc.load(tmp_path / "part.npz").set_params(warm_start=True).fit(X)
    np.testing.assert_array_equal(again.atoms_, whole.atoms_)
    assert again.history_ == whole.history_


def test_interrupt_inside_a_step_changes_nothing(rng, monkeypatch):
    _, X = planted(rng)
    part = learner(max_iter=1).fit(X)
    before, lines = part.atoms_.copy(), list(part.history_)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("csc.learning._dictionary_learning.update_state", interrupt)
    with pytest.raises(KeyboardInterrupt):
        part.partial_fit(X)
    np.testing.assert_array_equal(part.atoms_, before)
    assert part.history_ == lines


def test_partial_fit_on_the_same_batches_is_fit(rng):
    _, X = planted(rng)
    whole, stream = learner(max_iter=1).fit(X), learner(max_iter=1)
    for t in range(6):
        stream.partial_fit(X[whole._order(t, 600, 100)])
    np.testing.assert_array_equal(stream.atoms_, whole.atoms_)


def test_dead_atoms_become_the_worst_coded_signals(rng):
    atoms, X = planted(rng)
    dead = atoms.copy()
    dead[3] = 1e-9 * atoms[3]  # never pays for itself
    rules = StepConfig(csc.constraints.UnitSphere(), None, 0.0, replace_after=len(X), n_passes=1)
    problem = csc.Problem(X, csc.Dictionary(dead), csc.L1(0.1))
    codes = csc.solve(problem).codes
    state, line = update_state(init_state(dead), Batch([EncodedBatch(problem, codes)]), rules)
    worst = X[np.argmax((problem.residual(codes) ** 2).sum(axis=(1, 2, 3)))]
    np.testing.assert_allclose(state.atoms[3], worst / np.linalg.norm(worst))
    assert line.n_replaced == 1
    assert not state.statistics.phi[3].any()
    assert not state.statistics.phi[:, 3].any()
    assert not state.statistics.psi[3].any()
    fewer = EncodedBatch(csc.Problem(X[1:], problem.dictionary, problem.penalty), codes[1:])
    kept, line = update_state(init_state(dead), Batch([fewer]), rules)
    assert line.n_replaced == 0
    assert kept.unused[3] == len(X) - 1


def test_homeostasis_evens_out_the_variance_of_the_codes(rng):
    atoms, _ = planted(rng)
    codes = rng.laplace(size=(4000, 8)) * np.linspace(0.3, 3, 8)
    X = (codes @ atoms.reshape(8, -1)).reshape(-1, 1, 4, 4)

    def spread(homeostasis):
        fitted = learner(homeostasis=homeostasis, max_iter=8, lmbda=0.05).fit(X)
        variance = (fitted.transform(X) ** 2).mean(axis=0)
        return variance.std() / variance.mean()

    assert spread(csc.learning.HomeostaticGain(rate=0.2, memory=0.9)) < 0.75 * spread(None)


def test_relative_strength_is_resolved_once(rng):
    _, X = planted(rng)
    fitted = learner(lmbda=csc.Relative(0.1)).fit(X)
    top = csc.lmbda_max(X, csc.Dictionary(csc.constraints.UnitBall().project(begin_atoms(fitted))))
    assert fitted.penalty_.lmbda == pytest.approx(0.1 * top)


def begin_atoms(fitted):
    shape = fitted.atoms_.shape
    noise = np.random.default_rng((fitted.seed_, 0)).standard_normal(shape)
    return csc.constraints.UnitSphere().project(noise)


def test_fit_stops_early_when_a_pass_brings_little(rng):
    _, X = planted(rng)
    assert learner(max_iter=100, tol=0.05).fit(X).n_iter_ < 50
    assert learner(max_iter=12, tol=0).fit(X).n_iter_ == 12


def test_it_is_a_scikit_learn_estimator(rng):
    _, X = planted(rng)
    model = learner(penalty=None, homeostasis=csc.learning.HomeostaticGain())
    assert clone(model).get_params() == model.get_params()
    assert "n_atoms=8" in repr(model)
    search = GridSearchCV(learner(max_iter=1), {"n_atoms": [2, 8]}, cv=2).fit(X)
    assert search.best_params_ == {"n_atoms": 8}
    pipe = make_pipeline(learner(max_iter=1), FunctionTransformer(lambda z: z.reshape(len(z), -1)))
    assert pipe.fit_transform(X).shape == (600, 8)


def test_progress_bar_only_when_asked(rng, capsys):
    _, X = planted(rng)
    learner(max_iter=1).fit(X)
    assert capsys.readouterr().err == ""
    learner(max_iter=1, verbose=True).fit(X)
    assert "6/6" in capsys.readouterr().err


def test_other_sizes_channels_and_single_atoms(rng):
    for shape in [(3, 5), (2, 3, 3), (1, 2, 3, 2)]:
        X = rng.standard_normal((40, *shape))
        model = csc.DictionaryLearning(1, shape[1:], 0.1, batch_size=7, max_iter=2, random_state=0)
        assert model.fit(X).atoms_.shape == (1, *shape)
    zeros = np.zeros((20, 1, 3, 3))
    model = csc.DictionaryLearning(4, (3, 3), 0.1, replace_after=5, random_state=0).fit(zeros)
    assert np.isfinite(model.atoms_).all()


X = np.ones((5, 1, 4, 4))


@pytest.mark.parametrize(
    ("changes", "data", "error", "words"),
    [
        ({"lmbda": None}, X, ValueError, "give either lmbda or penalty"),
        ({"penalty": csc.L0(1.0)}, X, ValueError, "give either lmbda or penalty"),
        ({"lmbda": -1.0}, X, ValueError, "lmbda must be"),
        ({"n_atoms": 0}, X, ValueError, "n_atoms must be >= 1, got 0"),
        ({"n_atoms": 2.0}, X, TypeError, "n_atoms must be an integer"),
        ({"batch_size": 0}, X, ValueError, "batch_size must be >= 1"),
        ({"max_iter": 0}, X, ValueError, "max_iter must be >= 1"),
        ({"tol": -1}, X, ValueError, "tol must be"),
        ({"forgetting": np.nan}, X, ValueError, "forgetting must be"),
        ({"atom_shape": (4, 0)}, X, ValueError, "atom_shape must be >= 1"),
        ({"crop": (4,)}, X, ValueError, "crop must have 2 sizes"),
        ({"crop": (4, 0)}, X, ValueError, "crop must be >= 1"),
        ({"crop": (4, 3)}, X, ValueError, "crop must be at least as large as the atoms"),
        ({"atom_shape": (5, 4)}, X, ValueError, "larger than X"),
        ({"init": np.ones((8, 1, 3, 3))}, X, ValueError, "init must have shape"),
        ({}, X[0, 0], ValueError, r"X\[None, None\]"),
        ({}, X[0, 0, 0], ValueError, r"X must be \(N, C, \*S\)"),
        ({}, X.astype("f4") * 1e30, ValueError, "cannot square; rescale x"),
        ({"atom_shape": 4}, X, TypeError, "atom_shape must be a tuple"),
        ({"lmbda": None, "penalty": csc.L1(0.1, np.ones((5, 8, 1, 1)))}, X, ValueError, "per atom"),
        ({}, X * np.nan, ValueError, "X holds nothing but NaN"),
        ({}, X * np.inf, ValueError, "X holds inf"),
        ({}, X.astype(int), TypeError, "X must be float32 or float64"),
        ({}, [[1.0]], TypeError, r"X\[0\] must be an array"),
        ({}, X[:0], ValueError, "X is empty"),
    ],
)
def test_bad_input_is_refused_before_any_work(changes, data, error, words):
    model = learner(**changes)
    with pytest.raises(error, match=words):
        model.fit(data)
    assert not hasattr(model, "state_")


def test_a_new_fit_forgets_and_a_warm_one_goes_on(rng):
    _, X = planted(rng)
    model = learner().fit(X)
    assert model.fit(np.concatenate([X, X], axis=1)).atoms_.shape[1] == 2
    model = learner(warm_start=True, max_iter=2).fit(X)
    with pytest.raises(ValueError, match="n_atoms is 9 but 8 atoms are learned"):
        clone_state(model, n_atoms=9).fit(X)
    model.set_params(max_iter=4, lmbda=0.3, batch_size=200).fit(X)
    assert model.penalty_.lmbda == 0.3
    assert model.n_iter_ == 4
    assert len(model.history_) == 2 * 6 + 2 * 3


def test_a_warm_start_with_codes_of_another_stride_is_refused(rng):
    x = rng.standard_normal((2, 1, 30))
    model = csc.DictionaryLearning(3, (4,), 0.3, max_iter=1, random_state=0).fit(x)
    model.set_params(warm_start=True, stride=2)
    with pytest.raises(ValueError, match="stride is 2 but the codes so far have another one"):
        model.fit(x)
    assert model.set_params(stride=1).fit(x).n_iter_ == 1


def test_scikit_learn_is_told_what_signals_are():
    from sklearn.utils import get_tags

    tags = get_tags(csc.DictionaryLearning(3, (4,), 0.3))
    assert (tags.input_tags.two_d_array, tags.input_tags.three_d_array) == (False, True)
    assert tags.transformer_tags.preserves_dtype == ["float32", "float64"]
    assert not tags.target_tags.required


def clone_state(model, **changes):
    changed = learner(warm_start=True).set_params(**changes)
    vars(changed).update(state_=model.state_, penalty_=model.penalty_)
    return changed


def test_batches_given_by_hand_are_no_passes_of_fit(rng):
    _, X = planted(rng)
    model = learner(warm_start=True, max_iter=2)
    for _ in range(20):
        model.partial_fit(X[:10])
    assert model.n_iter_ == 0
    assert model.fit(X).n_iter_ == 2
    assert len(model.history_) == 20 + 2 * 6


def test_a_generator_is_a_random_state_too(rng):
    _, X = planted(rng)
    fits = [learner(random_state=np.random.default_rng(5)).fit(X).atoms_ for _ in range(2)]
    np.testing.assert_array_equal(*fits)


def test_unfitted_and_misfitted_use(rng):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError, match="call fit first"):
        learner().transform(X)
    fitted = learner().fit(planted(rng)[1])
    with pytest.raises(ValueError, match="X has 2 channels"):
        fitted.partial_fit(np.ones((5, 2, 4, 4)))
    with pytest.raises(TypeError, match="one precision"):
        fitted.transform(X.astype("float32"))


def test_learning_warns_of_nothing(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner().fit(planted(rng)[1])
