"""K-SVD against transcriptions of its papers; what it never does; what scikit-learn asks."""

import numpy as np
import pytest
from sklearn.base import clone

import csc
from csc.learning import _ksvd
from csc.learning._ksvd import update_atoms
from reference import patches as naive


def planted(rng, n, k, size, n_nonzero=3, sigma=0.0):
    """Patches of ``n_nonzero`` random unit atoms each, as in Aharon et al. 2006, sec. V-A."""
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((k, 1, size)))
    codes = np.zeros((n, k))
    for row in codes:
        row[rng.choice(k, n_nonzero, replace=False)] = rng.standard_normal(n_nonzero)
    return atoms, (codes @ atoms[:, 0] + sigma * rng.standard_normal((n, size)))[:, None]


def problem_of(rng, mask=None, n=40, k=7, size=6):
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((k, 1, size)))
    z = rng.standard_normal((n, k, 1)) * (rng.random((n, k, 1)) < 0.4)
    x = rng.standard_normal((n, 1, size))
    return csc.Problem(x, csc.Dictionary(atoms), csc.L0(0.0), mask), z


def test_an_update_is_that_of_rubinstein(rng):
    problem, z = problem_of(rng)
    atoms, codes = update_atoms(problem, z)
    D, Z = naive.approximate_ksvd(problem.x[:, 0].T, problem.dictionary.atoms[:, 0].T, z[..., 0].T)
    np.testing.assert_allclose(atoms[:, 0].T, D, atol=1e-12)
    np.testing.assert_allclose(codes[..., 0].T, Z, atol=1e-12)


def test_a_masked_update_is_one_iteration_of_mairal(rng):
    seen = rng.random((40, 1, 6)) < 0.7
    problem, z = problem_of(rng, mask=seen)
    atoms, codes = update_atoms(problem, z)
    x, d = problem.x[:, 0].T, problem.dictionary.atoms[:, 0].T
    D, Z = naive.approximate_weighted_ksvd(seen[:, 0].T, x, d, z[..., 0].T)
    np.testing.assert_allclose(atoms[:, 0].T, D, atol=1e-12)
    np.testing.assert_allclose(codes[..., 0].T, Z, atol=1e-12)


def repeated(problem, z, n_times):
    for _ in range(n_times):
        atoms, z = update_atoms(problem, z)
        problem = csc.Problem(problem.x, csc.Dictionary(atoms), problem.penalty, problem.mask)
    return atoms[:, 0].T, z[..., 0].T


def test_updates_of_one_atom_converge_to_the_singular_vectors_of_aharon(rng):
    problem, z = problem_of(rng, k=1)
    D, Z = repeated(problem, z, 300)
    expected = naive.ksvd(problem.x[:, 0].T, problem.dictionary.atoms[:, 0].T, z[..., 0].T)
    np.testing.assert_allclose(D @ Z, expected[0] @ expected[1], atol=1e-8)


def test_masked_updates_of_one_atom_converge_to_the_rank_one_of_mairal(rng):
    seen = rng.random((40, 1, 6)) < 0.8
    problem, z = problem_of(rng, k=1, mask=seen)
    x = rng.standard_normal((1, 1, 6)) * z + 0.3 * problem.x
    problem = csc.Problem(x, problem.dictionary, problem.penalty, seen)
    D, Z = repeated(problem, z, 300)
    args = problem.x[:, 0].T, problem.dictionary.atoms[:, 0].T, z[..., 0].T
    expected = naive.weighted_ksvd(seen[:, 0].T, *args, n_iter=300)
    np.testing.assert_allclose(D @ Z, expected[0] @ expected[1], atol=1e-7)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("limits", [{"n_nonzero": 4}, {"lmbda": 0.3}], ids=str)
def test_the_objective_never_rises(limits, missing, rng):
    _, X = planted(rng, n=150, k=12, size=8, sigma=0.5)
    if missing:
        X[rng.random(X.shape) < 0.3] = np.nan
    learner = csc.learning.KSVD(24, (8,), **limits, max_iter=30, tol=0, random_state=0).fit(X)
    values = np.array([record.objective for record in learner.history_])
    assert (np.diff(values) <= 1e-12).all()
    assert values[-1] < 0.9 * values[0]
    np.testing.assert_allclose(np.linalg.norm(learner.atoms_, axis=(1, 2)), 1)
    codes = learner.state_.codes.dense()
    seen = ~np.isnan(X)
    r = np.where(seen, X, 0) - seen * learner.inverse_transform(codes)
    objective = 0.5 * (r**2).sum() + learner.lmbda * (codes != 0).sum()
    assert objective / len(X) <= values[-1]


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_a_planted_dictionary_is_recovered(missing, rng):
    truth, X = planted(rng, n=500, k=14, size=12, n_nonzero=2, sigma=0.02)
    X[rng.random(X.shape) < missing] = np.nan
    options = {"max_iter": 30, "tol": 0}
    runs = [csc.learning.KSVD(14, (12,), 2, **options, random_state=i).fit(X) for i in range(3)]
    learner = min(runs, key=lambda run: run.history_[-1].objective)
    scores = abs(learner.atoms_[:, 0] @ truth[:, 0].T).max(axis=0)
    assert (scores > 0.99).mean() >= 0.85


def test_unused_atoms_become_badly_coded_patches():
    X = np.zeros((6, 1, 4))
    X[:5, 0, 0], X[5, 0, 3] = 1 + np.arange(5), 0.5
    init = np.array([[[1.0, 0, 0, 0]], [[0, 1.0, 0, 0]]])
    learner = csc.learning.KSVD(2, (4,), 1, init=init, max_iter=3).fit(X)
    np.testing.assert_allclose(abs(learner.atoms_[:, 0]), np.eye(4)[[0, 3]], atol=1e-12)
    assert [record.n_replaced for record in learner.history_] == [1, 0, 0]


def test_the_less_used_duplicate_becomes_the_worst_coded_patch(monkeypatch):
    X = np.zeros((9, 1, 4))
    X[:8, 0, 0], X[:8, 0, 1], X[8, 0, 3] = 1, np.r_[np.zeros(5), 0.1 * np.ones(3)], 2
    init = np.array([[[1.0, 0, 0, 0]], [[1, 0.1, 0, 0]]])  # cosine 0.995, both used
    learner = csc.learning.KSVD(2, (4,), 1, init=init, max_iter=3, tol=0)
    alone = clone(learner).fit(X)
    np.testing.assert_allclose(abs(alone.atoms_[1, 0]), [0, 0, 0, 1], atol=1e-12)
    assert alone.atoms_[0, 0, 0] > 0.99
    assert [record.n_replaced for record in alone.history_] == [1, 0, 0]
    monkeypatch.setattr(_ksvd, "MAX_COSINE", 2.0)
    both = clone(learner).fit(X)
    assert alone.history_[-1].objective < 0.01 * both.history_[-1].objective
    monkeypatch.undo()
    kept = clone(learner).fit(X[:8])  # both are needed: without one the objective would rise
    assert [record.n_replaced for record in kept.history_] == [0, 0, 0]


def test_of_three_duplicates_one_stays():
    atoms = np.array([[1.0, 0], [1, 0.05], [1, -0.05], [0, 1]])
    atoms = (atoms / np.linalg.norm(atoms, axis=1, keepdims=True))[:, None]
    np.testing.assert_array_equal(
        _ksvd.duplicates(atoms, np.array([1.0, 3, 2, 1])), [True, False, True, False]
    )
    chain = np.array([0.0, 0.1, 0.2])  # radians: only neighbours are duplicates
    chain = np.stack([np.cos(chain), np.sin(chain)], axis=1)[:, None]
    np.testing.assert_array_equal(
        _ksvd.duplicates(chain, np.array([3.0, 2, 1])), [False, True, False]
    )


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_an_error_target_is_met_with_the_codes_of_omp_and_fewer_by_learning(missing, rng):
    _, X = planted(rng, n=300, k=20, size=16, n_nonzero=2, sigma=0.05)
    seen, energy = rng.random(X.shape) >= missing, 16 * 0.05**2 * 1.5
    learner = csc.learning.KSVD(
        20, (16,), max_squared_residual=energy, max_iter=20, tol=0, random_state=0
    ).fit(X, mask=seen)
    codes, D = learner.transform(X, mask=seen), learner.atoms_[:, 0].T
    squares = ((seen * (X - learner.inverse_transform(codes))) ** 2).sum(axis=(1, 2))
    assert squares.max() <= energy * (1 + 1e-12)
    for n in range(0, 300, 9):
        z = naive.omp(seen[n, 0, :, None] * D, seen[n, 0] * X[n, 0], 0, 20, energy)
        np.testing.assert_allclose(codes[n, :, 0], z, atol=1e-9)
    counts = (codes != 0).sum(axis=(1, 2))
    assert learner.score(X, mask=seen) == -counts.mean()
    assert counts.mean() < 0.8 * learner.history_[0].objective
    last = learner.history_[-1]
    assert last.objective == last.n_nonzero


def test_a_patch_that_cannot_reach_the_error_target_counts_as_all_atoms_and_one():
    X = np.eye(3)[:, None]
    learner = csc.learning.KSVD(2, (3,), max_squared_residual=0.5, init=X[:2], max_iter=1).fit(X)
    assert learner.history_[0].objective == pytest.approx((1 + 1 + 3) / 3)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "limits", [{"n_nonzero": 2}, {"lmbda": 0.2}, {"max_squared_residual": 0.5}], ids=str
)
def test_an_integer_weight_is_a_patch_given_several_times(limits, missing, rng):
    _, X = planted(rng, n=30, k=9, size=6, sigma=0.3)
    weight = np.arange(30) % 4
    if missing:
        X[rng.random(X.shape) < 0.2] = np.nan
    options = {"init": rng.standard_normal((9, 1, 6)), "max_iter": 5, "tol": 0} | limits
    one = csc.learning.KSVD(9, (6,), **options).fit(X, sample_weight=weight)
    other = csc.learning.KSVD(9, (6,), **options).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(one.atoms_, other.atoms_, atol=1e-9)
    for a, b in zip(one.history_, other.history_, strict=True):
        assert (a.objective, a.n_nonzero) == pytest.approx((b.objective, b.n_nonzero))
    score = other.score(np.repeat(X, weight, axis=0))
    assert one.score(X, sample_weight=weight) == pytest.approx(score)


def test_colour_patches_in_float32_lists_and_new_signals(rng):
    X = rng.laplace(size=(80, 3, 4, 4)).astype("float32")
    learner = csc.learning.KSVD(10, (4, 4), 3, random_state=0, max_iter=3).fit(list(X))
    assert learner.atoms_.shape == (10, 3, 4, 4)
    assert learner.atoms_.dtype == learner.transform(X).dtype == "float32"
    codes = learner.transform(X)
    assert (codes != 0).sum(axis=1).max() == 3
    value = 0.5 * ((X - learner.inverse_transform(codes)) ** 2).sum() / len(X)
    assert learner.score(X) == pytest.approx(-value, rel=1e-5)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 3, 2)])
def test_clones_files_and_warm_starts_agree(shape, rng, tmp_path):
    X = planted(rng, n=60, k=8, size=6)[1].reshape(60, 1, *shape)
    learner = csc.learning.KSVD(8, shape, 2, max_iter=6, tol=0, random_state=0)
    whole = clone(learner).fit(X)
    half = clone(learner).set_params(max_iter=3, checkpoint=tmp_path / "k.npz").fit(X)
    resumed = csc.resume(tmp_path / "k.npz").set_params(max_iter=6).fit(X)
    np.testing.assert_array_equal(resumed.atoms_, whole.atoms_)
    assert (half.n_iter_, resumed.n_iter_, whole.seed_) == (3, 6, resumed.seed_)
    assert not hasattr(learner, "partial_fit")
    large = clone(learner).fit((1e10 * X).astype("float32"))
    np.testing.assert_allclose(large.atoms_, whole.atoms_, atol=1e-5)


def test_an_interrupt_keeps_the_atoms_so_far(rng, monkeypatch):
    _, X = planted(rng, n=60, k=8, size=6)
    learner = csc.learning.KSVD(8, (6,), 2, max_iter=9, tol=0, random_state=0)
    step = csc.learning.KSVD._step

    def interrupted(self, *args):
        if self.state_.n_steps == 4:
            raise KeyboardInterrupt
        step(self, *args)

    monkeypatch.setattr(csc.learning.KSVD, "_step", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 4 steps"):
        learner.fit(X)
    assert learner.n_iter_ == len(learner.history_) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_nonzero": None}, "give n_nonzero, lmbda > 0 or max_squared_residual > 0"),
        ({"lmbda": 0.1, "max_squared_residual": 0.2}, "they belong to two objectives"),
        ({"max_squared_residual": -1.0}, "max_squared_residual must be"),
        ({"n_nonzero": 0}, "n_nonzero must be >= 1"),
        ({"atom_shape": (3,)}, r"patches of the size of the atoms, \(3,\)"),
        ({"init": np.ones((8, 1, 5))}, r"init must have shape \(K, C, \*s\) = \(8, 1, 6\)"),
    ],
)
def test_wrong_parameters_are_refused(changes, message, rng):
    options = {"n_atoms": 8, "atom_shape": (6,), "n_nonzero": 2} | changes
    with pytest.raises(ValueError, match=message):
        csc.learning.KSVD(**options).fit(rng.laplace(size=(20, 1, 6)))
