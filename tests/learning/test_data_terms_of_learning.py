"""Learning with other data terms than least squares."""

import numpy as np
import pytest

import csc
from csc.data_terms import Huber, LeastAbsolute, LeastSquares, Logistic, Poisson


def waveforms_with_outliers(rng):
    t = np.linspace(-1, 1, 16)
    atoms = np.stack(
        [np.exp(-8 * t * t), t * np.exp(-6 * t * t), np.sin(8 * t) * np.exp(-3 * t * t)]
    )
    truth = csc.constraints.UnitSphere().project(atoms[:, None])
    z = rng.uniform(1, 3, (20, 3, 185)) * (rng.random((20, 3, 185)) < 0.02)
    x = csc.Dictionary(truth)(z)
    x = x + 0.05 * rng.standard_normal(x.shape)
    hit = rng.random(x.shape) < 0.05
    return np.where(hit, x + rng.choice([-4, 4], x.shape), x), truth


def learn(x, lmbda, term, **options):
    options = {
        "batch_size": None,
        "max_iter": 40,
        "recentre_every": 10,
        "random_state": 2,
    } | options
    penalty = csc.L1(lmbda, positive=True)
    return csc.DictionaryLearning(3, (16,), penalty=penalty, data_term=term, **options).fit(x)


def test_five_per_cent_outliers_do_not_harm_the_atoms():
    x, truth = waveforms_with_outliers(np.random.default_rng(0))
    robust = csc.analysis.match_dictionaries(learn(x, 0.3, Huber(0.2)).atoms_, truth)
    plain = csc.analysis.match_dictionaries(learn(x, 1.0, LeastSquares()).atoms_, truth)
    assert robust.scores.min() > 0.95
    assert plain.scores.max() < 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    "term", [Huber(0.3), LeastSquares(np.linspace(0.2, 2, 30)), Logistic(), Poisson(0.5)], ids=repr
)
def test_the_objective_is_that_of_the_data_term_and_never_rises(term, rng):
    x = rng.poisson(3, (6, 1, 30)) / 3
    x = (x > 1).astype("float64") if isinstance(term, Logistic) else x
    constraint = csc.constraints.NonNegative() & csc.constraints.UnitBall()
    learner = csc.DictionaryLearning(
        3, (5,), penalty=csc.L1(0.05, positive=True), data_term=term, constraint=constraint,
        init=abs(rng.standard_normal((3, 1, 5))), batch_size=None, max_iter=12, coding_tol=1e-6,
        tol=0, random_state=0,
    ).fit(x)  # fmt: skip
    objectives = np.array([record.objective for record in learner.history_])
    gaps = 0.1 / (1 + np.arange(12))  # of the codes of each step
    assert (np.diff(objectives) <= gaps[1:] * objectives[1:]).all()
    assert objectives[-1] < objectives[0]
    last = -learner.score(x)  # codes of the learned atoms, to a gap of 1e-6
    assert last == pytest.approx(objectives[-1], rel=0.02)
    problem = csc.Problem(x, learner.dictionary_, learner.penalty_, data_term=term)
    assert last == pytest.approx(csc.solve(problem, tol=1e-6).objective / 6, rel=1e-5)


def test_weights_of_zero_and_one_learn_what_a_mask_does(rng):
    x, mask = rng.standard_normal((5, 1, 30)), rng.random(30) < 0.8
    options = {"batch_size": None, "max_iter": 4, "random_state": 0, "coding_tol": 1e-8, "tol": 0}
    masked = csc.DictionaryLearning(3, (4,), 0.3, **options).fit(x, mask=mask)
    term = LeastSquares(mask.astype("float64"))
    weighted = csc.DictionaryLearning(3, (4,), 0.3, data_term=term, **options).fit(x)
    one, other = (learner.history_[0].objective for learner in (masked, weighted))
    assert one == pytest.approx(other, rel=0.05)  # codes of a first step have a gap of 10 %
    assert weighted.score(x) == pytest.approx(
        masked.score(x, mask=mask * np.ones(x.shape)), rel=0.1
    )


def test_patches_learn_online_and_come_back_from_a_file(rng, tmp_path):
    x = rng.standard_normal((40, 1, 3, 3))
    x[rng.random(x.shape) < 0.05] = 9
    learner = csc.DictionaryLearning(
        5, (3, 3), 0.1, data_term=Huber(0.3), batch_size=20, max_iter=2, random_state=0
    ).fit(x)
    assert learner.state_.statistics.phi.shape == (5, 5)
    csc.save(tmp_path / "learner.npz", learner)
    same = csc.load(tmp_path / "learner.npz")
    assert same.data_term.delta == 0.3
    np.testing.assert_array_equal(same.transform(x), learner.transform(x))


def test_a_cluster_learns_the_same(client, rng):
    da = pytest.importorskip("dask.array", reason="Dask is not installed")
    x = rng.standard_normal((6, 1, 30))
    learner = csc.DictionaryLearning(
        3, (4,), 0.05, data_term=Huber(0.3), batch_size=3, max_iter=2, random_state=0
    )
    here = csc.DictionaryLearning(**learner.get_params(deep=False)).fit(x)
    there = csc.distributed.fit(learner, da.from_array(x, chunks=(3, 1, 30)), client=client)
    np.testing.assert_array_equal(here.atoms_, there.atoms_)


def test_a_number_of_codes_can_be_asked_for(rng):
    x = rng.standard_normal((4, 1, 40))
    learner = csc.DictionaryLearning(
        3,
        (4,),
        csc.TargetSparsity(5),
        data_term=Huber(0.3),
        batch_size=None,
        max_iter=8,
        random_state=0,
    ).fit(x)
    assert 3 < learner.history_[-1].n_nonzero < 7


def test_learning_with_a_small_delta_learns_absolute_values_up_to_half_of_it_per_sample():
    x, delta, lmbda = waveforms_with_outliers(np.random.default_rng(0))[0][:4], 0.1, 1.5
    learner = learn(x, lmbda * delta, Huber(delta), max_iter=4, tol=0)
    z, D = learner.transform(x), learner.dictionary_
    exact = (abs(x - D(z)).sum() + lmbda * z.sum()) / len(x)
    below = -learner.score(x) / delta
    assert exact - delta / 2 * x[0].size <= below * (1 + 1e-6) <= exact
    problem = csc.Problem(x, D, csc.L1(lmbda, positive=True), data_term=LeastAbsolute())
    best = csc.solve(problem, tol=1e-2)
    assert (best.objective - best.gap) / len(x) <= exact <= best.objective / len(x) + 0.05 * below


@pytest.mark.parametrize(
    ("term", "words"),
    [
        (LeastAbsolute(), r"Huber\(delta\) with a small delta, and lmbda times delta"),
        (LeastSquares(np.ones((2, 1, 30))), "differ between"),
    ],
)
def test_terms_that_do_not_suit_learning_are_refused(term, words, rng):
    learner = csc.DictionaryLearning(3, (4,), 0.3, data_term=term)
    with pytest.raises(ValueError, match=words):
        learner.fit(rng.standard_normal((2, 1, 30)))


@pytest.mark.parametrize(
    ("penalty", "term"),
    [
        (csc.L0(1e3), csc.data_terms.Huber(0.4)),
        (csc.L0(1e3), csc.data_terms.Logistic()),
        (csc.L1Ball(1e-9), csc.data_terms.LeastSquares()),
    ],
    ids=repr,
)
def test_fits_end_where_all_codes_are_zero_and_no_lmbda_is_known(penalty, term, rng):
    X = rng.random((2, 1, 12))
    learner = csc.DictionaryLearning(3, (4,), penalty=penalty, data_term=term, max_iter=1)
    assert learner.fit(X).history_[-1].n_nonzero == 0


@pytest.mark.parametrize("delta", [1e-4, 1e-6])
def test_codes_of_a_loose_tolerance_do_not_raise_the_objective(delta):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 2, 40)) + 3 * (rng.random((6, 2, 40)) < 0.1)
    learner = csc.DictionaryLearning(
        4, (6,), 0.3 * delta, data_term=Huber(delta), init=rng.standard_normal((4, 2, 6)), batch_size=None,
        max_iter=15, tol=0, replace_after=None, random_state=0,
    ).fit(x)  # fmt: skip
    objectives = np.array([record.objective for record in learner.history_])
    assert (np.diff(objectives) <= 1e-9 * objectives[1:]).all()
