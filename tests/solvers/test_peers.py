"""The same problem, solved by sporco, SPAMS or alphacsc: objectives agree to 1e-3, ours is no higher."""

import warnings

import numpy as np
import pytest

import csc
from csc.data_terms import LeastAbsolute, LeastSquares
from csc.problems import with_gradient_term, with_total_variation

STEPS = 400  # of sporco's ADMM


@pytest.fixture(scope="module")
def cbpdn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sporco.admm.cbpdn", reason="sporco is not installed")


@pytest.fixture
def case(rng):
    """A piece of a photograph, and random atoms that wrap around."""
    x = csc.images.natural()[0].pixels[None, None, 50:66, 60:76].astype("float64")
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((6, 1, 5, 5)))
    return x - x.mean(), csc.Dictionary(atoms, "circular")


def by_sporco(kind, problem, *arguments, layout=None, **options):
    """Objective, in our terms, of the codes that a class of sporco finds."""
    options = {"Verbose": False, "MaxMainIter": STEPS, "RelStopTol": 1e-5} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = np.moveaxis(problem.dictionary.atoms[:, 0], 0, -1)
        if layout is not None:
            atoms = layout
        x = np.moveaxis(problem.x[0, : problem.x.shape[1]], 0, -1)
        x = x[..., 0] if layout is None else x
        more = {} if layout is None else {"dimK": 0}
        solver = kind(atoms, x, *arguments, opt=kind.Options(options), **more)
        solver.solve()
    of_block = hasattr(solver, "var_y1") and kind.__name__ != "ConvBPDNRecTV"
    codes = solver.var_y1() if of_block else solver.getmin()
    return codes.reshape(*codes.shape[:2], codes.shape[2], codes.shape[4])  # (H, W, C, K)


def compare(problem, codes, tol=1e-5, objective=None):
    z = np.moveaxis(codes[:, :, 0], -1, 0)[None]
    theirs = (objective or problem).value(np.ascontiguousarray(z))
    ours = csc.solve(problem, tol=tol, max_iter=50_000)
    assert ours.objective == pytest.approx(theirs, rel=1e-3)
    assert ours.objective - ours.gap <= theirs


def test_elastic_net(cbpdn, case):
    x, D = case
    lmbda, mu = 0.2, 0.1
    problem = csc.Problem(x, D, csc.ElasticNet(lmbda, mu / lmbda))
    compare(problem, by_sporco(cbpdn.ConvElasticNet, problem, lmbda, mu))


def test_gradient_of_codes(cbpdn, case):
    x, D = case
    weights = np.array([3.0, 0, 0, 0, 1.0, 0])
    plain = csc.Problem(x, D, csc.L1(0.2))
    codes = by_sporco(cbpdn.ConvBPDNGradReg, plain, 0.2, 0.5, GradWeight=weights)
    compare(with_gradient_term(plain, 0.5 * weights), codes)


@pytest.mark.slow
def test_weights_of_samples(cbpdn, case, rng):
    x, D = case
    root = rng.uniform(0.3, 1.5, x.shape[2:])
    problem = csc.Problem(x, D, csc.L1(0.1), data_term=LeastSquares(root**2))
    compare(problem, by_sporco(cbpdn.ConvBPDNMaskDcpl, problem, 0.1, root))


@pytest.mark.slow
@pytest.mark.parametrize("mu", [0.0, 2.0])
def test_absolute_values(mu, cbpdn, case):
    x, D = case
    weights = np.array([3.0, 0, 0, 0, 1.0, 0])
    plain = csc.Problem(x, D, csc.L1(1.5), data_term=LeastAbsolute())
    codes = by_sporco(cbpdn.ConvL1L1Grd, plain, 1.5, mu, rho=20.0, GradWeight=weights)
    compare(with_gradient_term(plain, mu * weights) if mu else plain, codes, tol=5e-4)


@pytest.mark.slow
def test_isotropic_total_variation(cbpdn, case):  # noqa: ARG001  skips without sporco
    from sporco.admm.cbpdntv import ConvBPDNRecTV

    x, D = case
    plain = csc.Problem(x, D, csc.L1(0.1))
    codes = by_sporco(ConvBPDNRecTV, plain, 0.1, 0.05, MaxMainIter=200)
    problem = with_total_variation(plain, 0.05, isotropic=True)
    compare(problem, codes, tol=5e-4)
    along_axes = with_total_variation(plain, 0.05)
    z = np.ascontiguousarray(np.moveaxis(codes[:, :, 0], -1, 0)[None])
    assert along_axes.value(z) > 1.01 * problem.value(z)


def test_l1_ball(cbpdn, case):
    x, D = case
    problem = csc.Problem(x, D, csc.L1Ball(8.0))
    codes = by_sporco(cbpdn.ConvBPDNProjL1, problem, 8.0)
    codes *= min(1, 8 / abs(codes).sum())  # within its tolerance
    compare(problem, codes)


@pytest.mark.slow
def test_ball_of_the_residual(cbpdn, case):
    x, D = case
    epsilon = 0.3 * float(np.linalg.norm(x))
    ours = csc.noise_constrained(x, D, epsilon, tol=1e-4)
    codes = by_sporco(cbpdn.ConvMinL1InL2Ball, ours.problem, epsilon, AutoRho={"Enabled": True})
    assert abs(ours.codes).sum() == pytest.approx(abs(codes).sum(), rel=1e-3)


@pytest.mark.slow
def test_joint_sparsity_of_channels(cbpdn, case):
    x, D = case
    x = np.concatenate([x, np.roll(x, 1, 3), 0.5 * x], axis=1)
    lmbda, mu = 0.1, 0.15
    copies = (D.atoms[:, 0][:, None, None] * np.eye(3)[:, :, None, None]).reshape(-1, 3, 5, 5)
    penalty = csc.SparseGroupL21(lmbda, 3, mu / lmbda)
    problem = csc.Problem(x, csc.Dictionary(copies, "circular"), penalty)
    layout = np.moveaxis(D.atoms[:, 0], 0, -1)
    codes = by_sporco(cbpdn.ConvBPDNJoint, problem, lmbda, mu, layout=layout)
    z = np.moveaxis(codes, (3, 2), (0, 1)).reshape(-1, 16, 16)  # atom by atom, its channels
    compare(problem, np.moveaxis(z, 0, -1)[:, :, None])


def learned_by_sporco(problem, kind, arguments, method, layout, **options):
    """Atoms ``(h, w, K)`` that sporco learns from those of ``layout``; method of its update."""
    from sporco import cnvrep
    from sporco.admm import ccmod
    from sporco.dictlrn import dictlrn

    x = np.moveaxis(problem.x, (0, 1), (3, 2))
    x = x if x.shape[2] > 1 else x[:, :, 0]
    sizes = cnvrep.CDU_ConvRepIndexing(layout.shape, x)
    own = {"Verbose": False, "MaxMainIter": 1}
    update = ccmod.ConvCnstrMODOptions(own | {"rho": 10.0}, method=method)
    first = cnvrep.zpad(cnvrep.stdformD(layout, sizes.Cd, sizes.M), sizes.Nv)
    copies = (sizes.K,) if method == "cns" else ()
    update.update({"Y0": first, "U0": np.zeros(sizes.shpD + copies)})
    coding = kind(layout, x, *arguments, kind.Options(own | {"rho": 3.0} | options))
    atoms = ccmod.ConvCnstrMOD(None, x, layout.shape, update, method=method)
    limits = dictlrn.DictLearn.Options({"Verbose": False, "MaxMainIter": 60})
    return dictlrn.DictLearn(coding, atoms, limits).solve().squeeze()


@pytest.mark.slow
def test_learning_with_a_gradient_term(cbpdn, rng):
    photograph = csc.images.natural()[0].pixels.astype("float64")
    x = np.stack([photograph[50:60, 60:70], photograph[100:110, 90:100]])[:, None] - 0.5
    first = csc.constraints.UnitSphere().project(rng.standard_normal((3, 1, 4, 4)))
    l1, weights = np.array([0.0, 1, 1]), np.array([0.5, 0, 0])
    learner = csc.DictionaryLearning(
        3, (4, 4), penalty=csc.L1(0.1, weights=l1[:, None, None]), mode="circular", init=first,
        gradient_weights=weights, batch_size=None, max_iter=300, tol=1e-5, coding_tol=1e-4,
    ).fit(x)  # fmt: skip

    def objective(atoms):
        problem = csc.Problem(x, csc.Dictionary(atoms, "circular"), learner.penalty_)
        return csc.solve(with_gradient_term(problem, weights), tol=1e-4, max_iter=50_000).objective

    ours = objective(learner.atoms_)
    assert 2 * learner.history_[-1].objective == pytest.approx(ours, rel=1e-4)
    assert ours < 0.9 * objective(first)
    layout = np.moveaxis(learner.atoms_[:, 0], 0, -1)
    options = {"L1Weight": l1.reshape(1, 1, 1, 1, 3), "GradWeight": 2 * weights}
    kind, problem = cbpdn.ConvBPDNGradReg, csc.Problem(x, learner.dictionary_, learner.penalty_)
    theirs = learned_by_sporco(problem, kind, (0.1, 0.5), "cns", layout, **options)
    assert objective(np.moveaxis(theirs, -1, 0)[:, None].copy()) == pytest.approx(ours, rel=1e-3)


@pytest.mark.slow
def test_learning_grey_atoms_of_colour_pictures(cbpdn, rng):
    photograph = csc.images.natural()[0].pixels.astype("float64")
    grey = np.stack([photograph[50:60, 60:70], photograph[100:110, 90:100]]) - 0.5
    x = np.stack([grey, 0.5 * np.roll(grey, 1, 1), grey[:, ::-1]], axis=1)
    shared = csc.constraints.SharedByChannels(3) & csc.constraints.UnitBall()
    first, penalty = shared.project(rng.standard_normal((6, 3, 4, 4))), csc.SparseGroupL21(0.1, 3)
    learner = csc.DictionaryLearning(
        6, (4, 4), penalty=penalty, mode="circular", init=first, constraint=shared,
        batch_size=None, max_iter=300, tol=1e-5, coding_tol=1e-3,
    ).fit(x)  # fmt: skip

    def objective(atoms):
        problem = csc.Problem(x, csc.Dictionary(atoms, "circular"), penalty)
        return csc.solve(problem, tol=1e-4, max_iter=50_000).objective

    ours, grey_atoms = objective(learner.atoms_), learner.atoms_[::3, 0]
    assert ours < 0.9 * objective(first)
    problem = csc.Problem(x, learner.dictionary_, penalty)
    layout, kind = np.moveaxis(grey_atoms, 0, -1), cbpdn.ConvBPDNJoint
    theirs = learned_by_sporco(problem, kind, (0.1, 0.1), "ism", layout)
    copies = np.moveaxis(theirs, -1, 0)[:, None, None] * np.eye(3)[:, :, None, None]
    assert objective(copies.reshape(6, 3, 4, 4)) == pytest.approx(ours, rel=1e-3)


@pytest.mark.parametrize("joint", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_product_dictionary(joint, cbpdn, case, rng):  # noqa: ARG001  skips without sporco
    from sporco.admm import pdcsc

    x, D = case
    x = np.concatenate([x, np.roll(x, 1, 3), 0.5 * x], axis=1)
    colours = csc.constraints.UnitSphere().project(rng.standard_normal((2, 3, 1)))[:, :, 0]
    products = csc.operators.product_dictionary(D.atoms, colours, "circular")
    lmbda, mu = 0.2, 0.1
    penalty = csc.SparseGroupL21(lmbda, 2, mu / lmbda) if joint else csc.L1(lmbda)
    problem = csc.Problem(x, products, penalty)
    kind = pdcsc.ConvProdDictBPDNJoint if joint else pdcsc.ConvProdDictBPDN
    layout = np.moveaxis(D.atoms[:, 0], 0, -1)
    arguments = (colours.T, np.moveaxis(x[0], 0, -1), lmbda, *([mu] if joint else []))
    options = {"Verbose": False, "MaxMainIter": STEPS, "RelStopTol": 1e-5}
    solver = kind(layout, *arguments, opt=kind.Options(options), dimK=0)
    solver.solve()
    codes = np.moveaxis(solver.getmin()[:, :, :, 0], (3, 2), (0, 1))[None]  # (1, K, J, H, W)
    z = codes.reshape(1, -1, 16, 16)
    np.testing.assert_array_equal(csc.operators.codes_of_products(z, 2), codes)
    compare(problem, np.moveaxis(z[0], 0, -1)[:, :, None])


@pytest.fixture(scope="module")
def spams():
    return pytest.importorskip("spams", reason="SPAMS is not installed: pip install spams-bin")


@pytest.fixture
def patches(rng):
    """Patches as signals, and as columns; atoms of their size, and as columns."""
    x = csc.images.extract_patches([csc.images.natural()[0].pixels], (5, 5), n=40, rng=0)
    x = (x - x.mean(axis=(2, 3), keepdims=True)).astype("float64")
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((30, 1, 5, 5)))
    columns = (np.asfortranarray(a.reshape(len(a), -1).T) for a in (x, atoms))
    return x, csc.Dictionary(atoms), *columns


def test_lasso_and_elastic_net_of_spams(spams, patches):
    x, D, X, A = patches
    for ridge in (0.0, 0.5):
        options = {"mode": spams.PENALTY, "lambda1": 0.1, "lambda2": 0.1 * ridge, "numThreads": 1}
        theirs = spams.lasso(X, D=A, **options).toarray().T.reshape(40, 30, 1, 1)
        penalty = csc.ElasticNet(0.1, ridge) if ridge else csc.L1(0.1)
        problem = csc.Problem(x, D, penalty)
        ours = csc.solve(problem, tol=1e-7)
        assert ours.objective == pytest.approx(problem.value(theirs), rel=1e-3)


def test_l1_ball_of_spams(spams, patches):
    x, D, X, A = patches
    options = {"mode": spams.L1COEFFS, "lambda1": 0.4, "numThreads": 1}
    theirs = spams.lasso(X, D=A, **options).toarray().T.reshape(40, 30, 1, 1)
    problem = csc.Problem(x, D, csc.L1Ball(0.4))
    ours = csc.solve(problem, tol=1e-6)
    unit = csc.Problem(x, D, csc.L1(0.0))  # SPAMS leaves its ball by some rounding
    assert ours.objective == pytest.approx(unit.value(theirs), rel=1e-3)


def test_means_of_atoms_of_spams(spams, patches):
    x, D, X, A = patches
    means = csc.Problem(x, csc.Dictionary(D.atoms[:10]), csc.Simplex())
    theirs = spams.decompSimplex(X, np.asfortranarray(A[:, :10]), numThreads=1).toarray()
    ours = csc.solve(means, tol=1e-5, max_iter=20_000)
    assert ours.objective == pytest.approx(0.5 * ((X - A[:, :10] @ theirs) ** 2).sum(), rel=1e-3)


def test_archetypes_of_spams(spams, patches, capfd):
    x, _, X, _ = patches
    first = np.asfortranarray(X[:, :4])
    options = {"p": 4, "Z0": first, "returnAB": True, "stepsFISTA": 0, "stepsAS": 200}
    archetypes, codes, _ = spams.archetypalAnalysis(X, numThreads=1, **options)
    capfd.readouterr()  # it prints
    learner = csc.DictionaryLearning(
        4, (5, 5), penalty=csc.Simplex(), constraint=csc.constraints.ConvexHull(x), init=x[:4],
        batch_size=None, max_iter=200, tol=1e-6, coding_tol=1e-3,
    ).fit(x)  # fmt: skip
    theirs = 0.5 * ((X - archetypes @ codes) ** 2).sum() / len(x)
    assert learner.history_[-1].objective == pytest.approx(theirs, rel=2e-3)
    assert -learner.score(x) == pytest.approx(theirs, rel=1e-3)


def test_one_support_for_all_signals_of_spams(spams, patches):
    x, D, X, A = patches
    groups = np.array([0, 15], dtype=np.int32)  # two groups of signals
    theirs = spams.somp(X, A, groups, L=5, eps=1e-9, numThreads=1).toarray().T
    for own in (slice(0, 15), slice(15, 40)):
        problem = csc.Problem(x[own], D, csc.L0(0.0))
        ours = csc.solve(problem, csc.solvers.SimultaneousOMP(n_nonzero=5))
        np.testing.assert_allclose(ours.codes[:, :, 0, 0], theirs[own], atol=1e-9)


def test_ball_of_the_residual_of_spams(spams, patches):
    x, D, X, A = patches
    x, X = x[:8], np.asfortranarray(X[:, :8])
    energies = 0.3 * (X**2).sum(axis=0)
    for own, column, energy in zip(x, X.T, energies, strict=True):
        options = {"mode": spams.L2ERROR, "lambda1": float(energy), "numThreads": 1}
        theirs = abs(spams.lasso(np.asfortranarray(column[:, None]), D=A, **options)).sum()
        ours = csc.noise_constrained(own[None], D, float(energy) ** 0.5, tol=1e-4)
        assert ours.penalty_value == pytest.approx(theirs, rel=1e-3)
        assert ours.penalty_value - ours.constrained_gap <= theirs * (1 + 1e-6)


@pytest.fixture(scope="module")
def alphacsc():
    """alphacsc 0.4.1, whose `learn_d_z` and LGCD within learning fail with new NumPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            "alphacsc", reason="alphacsc is not installed: pip install --no-deps alphacsc"
        )


@pytest.fixture
def series(rng):
    """Six series of three channels and unit variance, from two products of a topography and a waveform."""
    atoms = rng.standard_normal((2, 3, 1)) * rng.standard_normal((2, 1, 8))
    z = rng.uniform(1, 2, (6, 2, 53)) * (rng.random((6, 2, 53)) < 0.05)
    x = csc.Dictionary(csc.constraints.UnitSphere().project(atoms))(z)
    x = x + 0.1 * rng.standard_normal(x.shape)
    return x / x.std()  # as alphacsc learns from


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("solver", "options"),
    [("l-bfgs", {"factr": 1e6}), ("lgcd", {"tol": 1e-6, "max_iter": 100_000})],
)
def test_positive_codes_of_series(solver, options, alphacsc, series, rng):  # noqa: ARG001
    from alphacsc.update_z_multi import update_z_multi

    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((3, 3, 8)))
    problem = csc.Problem(series, csc.Dictionary(atoms), csc.L1(1.0, positive=True))
    theirs = problem.value(
        update_z_multi(series, atoms, 1.0, solver=solver, solver_kwargs=options)[0]
    )
    ours = csc.solve(problem, tol=1e-6)
    assert ours.objective == pytest.approx(theirs, rel=1e-3)
    assert ours.objective - ours.gap <= theirs


@pytest.mark.filterwarnings("ignore")
def test_learning_topographies_and_waveforms(alphacsc, series, rng):  # noqa: ARG001
    from alphacsc.learn_d_z_multi import learn_d_z_multi

    products = csc.constraints.Separable() & csc.constraints.UnitBall()
    penalty, first = csc.L1(1.0, positive=True), products.project(rng.standard_normal((2, 3, 8)))
    learner = csc.DictionaryLearning(
        2, (8,), penalty=penalty, constraint=products, init=first, batch_size=None, max_iter=100,
        tol=1e-6, coding_tol=1e-5,
    ).fit(series)  # fmt: skip
    u, s, v = np.linalg.svd(first, full_matrices=False)
    pairs = np.concatenate([u[:, :, 0], s[:, :1] * v[:, 0]], axis=1)
    options = {"uv_constraint": "separate", "D_init": pairs, "random_state": 0, "verbose": 0}
    values, _, pairs, codes, _ = learn_d_z_multi(series, 2, 8, reg=1.0, n_iter=60, **options)
    atoms = csc.Dictionary(pairs[:, :3, None] * pairs[:, None, 3:])
    theirs = csc.Problem(series, atoms, penalty).value(codes)
    assert theirs == pytest.approx(values[-1], rel=1e-6)
    assert 6 * learner.history_[-1].objective == pytest.approx(theirs, rel=1e-3)
    assert theirs < 0.5 * values[0]
