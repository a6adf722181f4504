"""What users choose: penalties, targets, grids, folders; and what they shape_and_dtype at."""

import numpy as np
import pytest
from skimage.io import imsave
from sklearn.model_selection import GridSearchCV

import csc
from csc.learning._diagnostics import Diagnostics
from csc.operators._sparse_codes import SparseCodes


def planted(rng, shape, atoms, density=0.03, stride=1):
    """Signals of few of some random atoms, with a little noise."""
    d = csc.constraints.UnitSphere().project(rng.standard_normal(atoms))
    D = csc.Dictionary(d, stride=stride)
    z_shape = (shape[0], atoms[0], *D.spatial_code_shape(shape[2:]))
    z = rng.standard_normal(z_shape) * (rng.random(z_shape) < density)
    return D(z, shape[2:]) + 0.01 * rng.standard_normal(shape)


def learner(n_atoms, atom_shape, lmbda=0.1, **changes):
    defaults = {"random_state": 0, "max_iter": 12, "tol": 0}
    return csc.DictionaryLearning(n_atoms, atom_shape, lmbda, **(defaults | changes))


EVERY = [  # signals, atoms, and what else
    ((2, 2, 60), (3, 2, 7), {}),
    ((2, 1, 61), (3, 1, 7), {"stride": 3}),
    ((1, 3, 20, 22), (4, 3, 4, 5), {"stride": (2, 1), "mode": "valid"}),
    ((2, 1, 20, 22), (4, 1, 4, 4), {"stride": 2, "mode": "circular"}),
    ((1, 2, 9, 10, 11), (3, 2, 3, 3, 2), {}),
    ((1, 1, 9, 10, 12), (3, 1, 3, 3, 3), {"mode": "circular"}),
    ((2, 1, 60), (3, 1, 7), {"penalty": csc.L1(0.1, positive=True), "lmbda": None}),
    ((2, 1, 60), (3, 1, 7), {"penalty": csc.ElasticNet(0.1, 0.5), "lmbda": None}),
    ((2, 1, 60), (4, 1, 7), {"penalty": csc.GroupL21(0.1, 2), "lmbda": None}),
    (
        (2, 1, 60),
        (3, 1, 7),
        {"penalty": csc.L1(0.1, np.array([[1.0], [2.0], [0.5]])), "lmbda": None},
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("shape", "atoms", "options"), EVERY)
def test_batch_learning_never_raises_the_objective(shape, atoms, options, masked, rng):
    X = planted(rng, shape, atoms)
    X[rng.random(X.shape) < 0.2 * masked] = np.nan
    model = learner(atoms[0], atoms[2:], **options).fit(X)
    objectives = np.array([line.objective for line in model.history_])
    assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()
    assert objectives[-1] < 0.95 * objectives[0]
    seen = ~np.isnan(X)
    problem = csc.Problem(np.where(seen, X, 0), model.dictionary_, model.penalty_, seen)
    again = csc.solve(problem, tol=1e-6, max_iter=20_000).objective / len(X)
    assert again <= objectives[-1] * (1 + 1e-6)  # at atoms that came after
    assert model.score(X) == pytest.approx(-again, rel=1e-3)


def test_signals_of_unlike_sizes_some_missing_never_raise_it_either(rng):
    X = planted(rng, (4, 2, 24, 24), (4, 2, 4, 4))
    X[rng.random(X.shape) < 0.2] = np.nan
    unlike = [X[0], X[1, :, :13], X[2, :, :, 5:], X[3, :, :13]]
    joined = (
        csc.constraints.ZeroMean() & csc.constraints.SparseAtoms(14) & csc.constraints.UnitBall()
    )
    for constraint in (csc.constraints.UnitBall(), joined):
        model = learner(4, (4, 4), constraint=constraint).fit(unlike)
        objectives = np.array([line.objective for line in model.history_])
        assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()
        assert -model.score(unlike) <= objectives[-1] * (1 + 1e-4)


def test_the_penalty_of_sparse_codes_is_that_of_dense_ones(rng):
    D = csc.Dictionary(rng.standard_normal((3, 1, 4)))
    x = rng.standard_normal((2, 1, 30))
    for weights in (None, np.array([[1.0], [2.0], [0.5]]), rng.random((3, 27))):
        problem = csc.Problem(x, D, csc.L1(0.7, weights))
        z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.3)
        assert problem.value(SparseCodes.of(z)) == pytest.approx(problem.value(z))
        none = SparseCodes.zeros(z.shape, z.dtype)
        assert problem.value(none) == pytest.approx(0.5 * (x**2).sum())


def test_signals_without_a_single_code_teach_nothing(rng):
    X = planted(rng, (2, 1, 40), (3, 1, 5))
    start = csc.constraints.UnitBall().project(rng.standard_normal((3, 1, 5)))
    for positive in (False, True):
        penalty = csc.L1(1e3, positive=positive)
        model = learner(3, (5,), None, penalty=penalty, init=start, max_iter=2)
        with pytest.warns(UserWarning, match="lmbda_max = "):
            model.fit(X)
        assert model.history_[-1].objective == pytest.approx(0.5 * (X**2).sum() / 2)
        np.testing.assert_array_equal(model.atoms_, start)


@pytest.mark.parametrize(
    ("options", "n"), [({}, 9), ({"batch_size": 1}, 9), ({"batch_size": 2, "crop": (60,)}, 4)]
)
def test_a_target_of_sparsity_is_met(options, n, rng):
    X = planted(rng, (6, 1, 120), (5, 1, 8))
    model = learner(5, (8,), csc.TargetSparsity(n), max_iter=30, **options).fit(X)
    counts = [line.n_nonzero for line in model.history_[-12:]]
    assert np.mean(counts) == pytest.approx(n, rel=0.15)
    assert model.history_[-1].lmbda == model.penalty_.lmbda
    if "crop" not in options:
        codes = model.transform(X)
        assert (codes != 0).sum() / 6 == pytest.approx(n, rel=0.15)


def test_a_target_is_pursued_by_the_same_steps_after_a_resume(rng, tmp_path):
    X = planted(rng, (6, 1, 90), (5, 1, 8))
    options = {"batch_size": 2, "lmbda": csc.TargetSparsity(6)}
    whole = learner(5, (8,), max_iter=6, **options).fit(X)
    csc.save(tmp_path / "part.npz", learner(5, (8,), max_iter=3, **options).fit(X))
    part = csc.load(tmp_path / "part.npz").set_params(warm_start=True, max_iter=6).fit(X)
    assert part.history_ == whole.history_
    np.testing.assert_array_equal(part.atoms_, whole.atoms_)


def test_a_target_is_pursued_from_a_lmbda_of_zero(rng):
    X = planted(rng, (6, 1, 90), (5, 1, 8))
    model = learner(5, (8,), 0.0, max_iter=2).fit(X)
    model.set_params(lmbda=csc.TargetSparsity(6), max_iter=12, warm_start=True).fit(X)
    assert [line.lmbda > 0 for line in model.history_] == [False] * 2 + [True] * 10
    assert model.history_[-1].n_nonzero == pytest.approx(6, rel=0.15)


def test_a_target_goes_with_any_penalty_and_is_refused_elsewhere(rng):
    patches = rng.laplace(size=(300, 1, 6))
    positive = csc.L1(csc.TargetSparsity(2), positive=True)
    model = learner(8, (6,), None, penalty=positive, batch_size=100).fit(patches)
    codes = model.transform(patches)
    assert (codes >= 0).all()
    assert (codes != 0).sum() / 300 == pytest.approx(2, rel=0.1)
    with pytest.raises(TypeError, match="lmbda_for_sparsity"):
        csc.sparse_code(patches, model.atoms_, csc.TargetSparsity(2))
    with pytest.raises(ValueError, match="n_nonzero must be <= 8"):
        learner(8, (6,), csc.TargetSparsity(9)).fit(patches)
    with pytest.raises(ValueError, match="n_nonzero must be finite and > 0"):
        csc.TargetSparsity(0)


@pytest.mark.slow
def test_a_grid_over_strength_and_number_of_atoms_of_signals(rng):
    X = planted(rng, (6, 1, 150), (4, 1, 9), density=0.02)
    grid = {"n_atoms": [1, 4], "lmbda": [0.05, 1.0]}
    search = GridSearchCV(learner(1, (9,), recentre_every=3), grid, cv=3).fit(X)
    assert search.best_params_ == {"n_atoms": 4, "lmbda": 0.05}
    assert search.best_estimator_.score(X) == search.score(X)
    by_target = {"lmbda": [csc.TargetSparsity(5), csc.Relative(0.9)], "n_atoms": [4]}
    found = GridSearchCV(learner(1, (9,)), by_target, cv=3).fit(X)
    assert found.best_params_["lmbda"] == csc.TargetSparsity(5)


def test_a_folder_is_a_stream(rng, tmp_path):
    with pytest.raises(FileNotFoundError):
        csc.images.stream_folder(tmp_path / "none")  # before the first picture is asked for
    with pytest.raises(ValueError, match="holds no picture"):
        csc.images.stream_folder(tmp_path)
    for i, side in enumerate((20, 24, 28)):
        imsave(tmp_path / f"{i}.png", (255 * rng.random((side, 22))).astype("uint8"))
    whole = [p.pixels[None, None] for p in csc.images.load_folder(tmp_path)]
    for x, y in zip(csc.images.stream_folder(tmp_path, passes=2), [*whole, *whole], strict=True):
        np.testing.assert_array_equal(x, y)
    mixed = csc.images.stream_folder(tmp_path, passes=None, rng=0, prepare=lambda a: a - a.mean())
    sides = [next(mixed).shape[2] for _ in range(12)]
    assert [sorted(sides[i : i + 3]) for i in range(0, 12, 3)] == [[20, 24, 28]] * 4
    assert len({tuple(sides[i : i + 3]) for i in range(0, 12, 3)}) > 1
    model = learner(3, (4, 4), 0.3).fit_stream(mixed, steps=5)
    assert model.state_.n_steps == 5
    next(csc.images.stream_folder(tmp_path))
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"cannot read image .*0\.png"):
        next(csc.images.stream_folder(tmp_path))
    with pytest.raises(ValueError, match="passes must be >= 1"):
        csc.images.stream_folder(tmp_path, passes=0)


def test_a_plan_knows_of_dense_codes(rng):
    X = rng.standard_normal((1, 2, 40, 40)).astype("float32")
    sparse = learner(20, (5, 5)).memory_plan(X)
    dense = learner(20, (5, 5), None, penalty=csc.ElasticNet(0.1)).memory_plan(X)
    assert dense.coding == 11 * sparse.coding
    assert dense.codes == 20 * sparse.codes


def test_the_health_of_atoms_is_drawn():
    drift = np.array([0.05, 0.4, 0.1, 0.0])
    report = Diagnostics(np.array([0.5, 0.2, 0.3, 0.0]), np.zeros(4, int), [(0, 2, 0.97)], drift)
    ax = csc.plot.diagnostics(report)
    assert ax.get_title() == "1 dead, 1 pairs of duplicates, 1 off-centre"
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in dots) == 4
    assert sorted(dots[1].get_xdata()) == sorted(drift)  # all four have something
    joined = next(line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_lw() == 0.8)
    np.testing.assert_allclose(joined.get_ydata(), [0.5, 0.3])
    silent = Diagnostics(np.zeros(2), np.ones(2, int), [], np.zeros(2))
    assert csc.plot.diagnostics(silent, ax).get_title().startswith("2 dead")
