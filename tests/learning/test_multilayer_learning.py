"""Multi-layer learning: gradients, projections, monotony, pursuits, resuming, recovery."""

import os
import signal
import time

import numpy as np
import pytest

import csc
from csc.learning import _statistics as stats
from csc.learning._data import CodesAsSignals, Group, Signals
from csc.learning._init import windows_of
from csc.learning._step import EncodedBatch
from csc.learning.multilayer import _update as deep_update
from csc.learning.multilayer._encode import EncodedLayers, LayersModel, encode_layers, objectives
from csc.learning.multilayer._layers import Layers
from csc.learning.multilayer._step import INITIAL_RATE
from csc.learning.multilayer._update import MidLayerPenalty, Objective, descend_layers
from csc.operators._sparse_codes import SparseCodes
from reference import multilayer_learning as naive

CASES = {  # shapes of the atoms, strides, mode, spatial shape of the signals
    "1-D": ([(3, 1, 4), (4, 3, 3)], [(1,), (1,)], "full", (14,)),
    "colour": ([(3, 3, 3, 2), (2, 3, 2, 2)], [(2, 1), (1, 1)], "full", (9, 7)),
    "three": ([(2, 1, 3), (3, 2, 3), (2, 3, 2)], [(1,), (2,), (1,)], "full", (17,)),
    "circular": ([(2, 1, 3), (3, 2, 2)], [(2,), (1,)], "circular", (12,)),
    "patch": ([(2, 1, 3), (3, 2, 4)], [(1,), (1,)], "full", (6,)),
}
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
COUNT = 2  # non-zeros of the atoms below the first layer


def problem_of(case, rng, lmbdas=None, n=3):
    """Atoms of all layers, a multi-layer problem of theirs, and some deepest codes."""
    shapes, strides, mode, spatial_shape = case
    atoms = [csc.constraints.UnitSphere().project(rng.standard_normal(shape)) for shape in shapes]
    atoms[1:] = [naive.keep_largest(d, COUNT) for d in atoms[1:]]
    D = csc.MultiLayerDictionary(
        csc.Dictionary(d, mode, t) for d, t in zip(atoms, strides, strict=True)
    )
    x = rng.standard_normal((n, shapes[0][1], *spatial_shape))
    problem = csc.MultiLayerProblem(x, D, [csc.L1(v) for v in lmbdas or [0.1] * len(shapes)])
    z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.5)
    return atoms, problem, z


def coded(problem, z):
    """As `encode_layers` gives it."""
    flat = csc.Problem(problem.x, problem.dictionary.effective(), problem.penalties[-1])
    return EncodedLayers(
        EncodedBatch(flat, z if flat.structure.is_patch else SparseCodes.of(z)), problem, None
    )


def objective_of(case, problem, z, penalised):
    some = coded(problem, z)
    penalty = MidLayerPenalty([some]) if penalised else None
    return Objective(stats.sums_of_codes(*some.flat[:3]), len(problem.x), case[1], penalty)


def columns(a):
    return a.reshape(len(a), -1).T


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("penalised", [False, True])
def test_objective_and_slopes_of_all_layers(case, penalised, rng, monkeypatch):
    monkeypatch.setattr(deep_update, "MOREAU_STEP", 1e-7)
    _, strides, mode, spatial_shape = case
    lmbdas = [0.2, 0.3, 0.1][: len(strides)]
    atoms, problem, z = problem_of(case, rng, lmbdas)
    model, free = (spatial_shape, mode, strides), [0.0] * len(strides)
    arguments = columns(problem.x), columns(z), lmbdas if penalised else free, model
    objective = objective_of(case, problem, z, penalised)
    for layers in (atoms, [d + 0.1 * rng.standard_normal(d.shape) for d in atoms]):
        point = objective.at(layers)
        assert point.value == pytest.approx(naive.value(layers, *arguments), rel=1e-10)
        for i, d in enumerate(layers):
            slope = objective.gradient(point, i)
            np.testing.assert_allclose(slope, naive.slope(layers, *arguments, i), atol=1e-7)
            np.testing.assert_allclose(
                objective.code_energies(point, i),
                naive.energies(layers, columns(z), model, i),
                rtol=1e-9,
            )
            way, h = rng.standard_normal(d.shape), 1e-6
            there, back = (
                objective.at([*layers[:i], d + sign * h * way, *layers[i + 1 :]]).value
                for sign in (1, -1)
            )
            if not penalised:  # the penalty has kinks
                assert (there - back) / (2 * h) == pytest.approx((slope * way).sum(), rel=1e-5)


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("penalised", [False, True])
def test_steps_are_those_of_the_transcription(case, penalised, rng, monkeypatch):
    monkeypatch.setattr(deep_update, "MOREAU_STEP", 1e-7)
    _, strides, mode, spatial_shape = case
    lmbdas = [0.05] * len(strides)
    atoms, problem, z = problem_of(case, rng, lmbdas)
    z *= 0.3
    constraints = [csc.constraints.UnitBall()] + [
        csc.constraints.SparseAtoms(COUNT) & csc.constraints.UnitSphere()
    ] * len(atoms[1:])
    objective = objective_of(case, problem, z, penalised)
    ours, rates = descend_layers(objective, atoms, constraints, (INITIAL_RATE,) * len(atoms), 3)
    theirs = naive.descend(
        atoms, columns(problem.x), columns(z), lmbdas if penalised else [0.0] * len(atoms),
        (spatial_shape, mode, strides), [COUNT] * len(atoms), 3, INITIAL_RATE,
    )  # fmt: skip
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)
    assert objective.at(ours).value < objective.at(atoms).value
    assert all(rate > 0 for rate in rates)


def learner(*layers, n_nonzero=3, **changes):
    """Of layers (n_atoms, atom_shape), or with further options."""
    defaults = {"max_iter": 3, "tol": 0, "lmbda": 0.2, "random_state": 0}
    made = [csc.DictionaryLearning(k, s, **(defaults | dict(*more))) for k, s, *more in layers]
    options = {"max_iter": 6, "tol": 0, "random_state": 0, "coding_iter": 10} | changes
    return csc.MultiLayerDictionaryLearning(made, n_nonzero, **options)


def test_projections_keep_the_largest_values_and_divide_by_the_norm(rng):
    first, second = learner((4, (3, 2)), (5, (4, 4)), n_nonzero=(3,))._layers.constraints
    v = rng.standard_normal((5, 4, 4, 4))
    p = second.project(v)
    np.testing.assert_allclose(p, naive.keep_largest(v, 3), atol=1e-15)
    np.testing.assert_allclose(second.project(p), p, atol=1e-15)
    others = naive.keep_largest(rng.standard_normal((2000, 4, 4, 4)), 3)
    others[:1000] = naive.keep_largest(p[0] + 0.1 * others[:1000], 3)
    assert ((others - v[0]) ** 2).sum(axis=(1, 2, 3)).min() >= ((p[0] - v[0]) ** 2).sum()
    assert first == csc.constraints.UnitBall()
    zero_mean = learner(
        (4, (3,)),
        (5, (4,), {"constraint": csc.constraints.ZeroMean() & csc.constraints.UnitBall()}),
    )
    with pytest.raises(ValueError, match=r"ZeroMean.*undo each other"):
        zero_mean.fit(v[0, :1])


PURSUITS = {
    "deepest": (None, (0.0, 0.2)),
    "default": (None, None),
    "ML-FISTA": (csc.solvers.MLFISTA(0.5), None),
    "ML-ADMM": (csc.solvers.MLADMM(cg_steps=1), None),
    "layered basis pursuit": (csc.solvers.LayeredBasisPursuit(), None),
    "layered thresholding": (csc.solvers.LayeredThresholding(), None),
    "projection": (csc.solvers.ProjectionPursuit((None, None), n_nonzero=4), (0.0, 0.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float64") for name in PURSUITS), ("deepest", "float32")]
)
def test_batch_learning_never_raises_the_objective(name, dtype, rng):
    pursuit, lmbda = PURSUITS[name]
    X = rng.laplace(size=(3, 1, 40)).astype(dtype)
    model = learner((3, (5,)), (4, (4,)), pursuit=pursuit, lmbda=lmbda).fit(X)
    objectives = np.array([line.objective for line in model.history_])
    slack = 1e-9 if dtype == "float64" else 1e-5
    assert (np.diff(objectives) <= slack * objectives[0]).all()
    assert objectives[-1] < objectives[0]
    for d in model.atoms_:
        assert d.dtype == dtype
    sparse = model.atoms_[1]
    assert ((sparse != 0).sum(axis=(1, 2)) <= 3).all()
    np.testing.assert_allclose((sparse**2).sum(axis=(1, 2)), 1, rtol=1e-5)
    assert model.transform(X).dtype == dtype
    if pursuit is not None:
        return
    model.set_params(coding_tol=1e-3, coding_iter=3000)
    problem = csc.MultiLayerProblem(X, model.dictionary_, model.penalties_)
    codes = model.transform(X)
    assert -model.score(X) == pytest.approx(problem.value((codes,)) / 3, rel=1e-5)
    if lmbda is None:
        best = csc.solve(problem, tol=1e-3).objective
        assert problem.value((codes,)) == pytest.approx(best, rel=5e-3)


def test_a_signal_keeps_its_codes_where_the_pursuit_finds_none_better(rng):
    atoms, problem, _ = problem_of(CASES["1-D"], rng, [0.1, 0.1])
    good = csc.solve(problem, tol=1e-6).codes[-1]
    start = np.concatenate([good[:1], 20 * good[1:]])
    crude = csc.solvers.LayeredThresholding()
    group = Group(problem.x, None)
    arguments = [group], LayersModel(problem.dictionary, problem.penalties, crude), (1e-3, 10)
    (fresh,), (kept,) = encode_layers(*arguments), encode_layers(*arguments, [start])
    new, old = (objectives(problem, z) for z in (fresh.codes[-1], start))
    np.testing.assert_allclose(objectives(problem, kept.codes[-1]), np.minimum(new, old))
    assert (new < old).any()
    assert (new > old).any()
    assert objectives(problem, start).sum() == pytest.approx(problem.value((start,)))


def test_one_step_is_coding_and_the_transcribed_update(rng, monkeypatch):
    monkeypatch.setattr(deep_update, "MOREAU_STEP", 1e-7)
    X = rng.laplace(size=(3, 1, 24))
    model = learner((3, (5,)), (4, (4,)), pretrain=False, max_iter=1, coding_tol=0.02)
    start = csc.MultiLayerDictionaryLearning(**model.get_params(deep=False))
    signals = start._validate_input(X, None, False)
    start._init_state(signals)
    z = start.transform(X)
    model.fit(X)
    theirs = naive.descend(
        start.atoms_, columns(X), columns(z), [0.2, 0.2], ((24,), "full", [(1,), (1,)]), [3], 5,
        INITIAL_RATE,
    )  # fmt: skip
    for a, b in zip(model.atoms_, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


SIGNALS = {
    "3-D": ((1, 1, 8, 7, 8), [(2, (2, 3, 2)), (2, (2, 2, 2))], {}),
    "strides": ((2, 3, 17, 15), [(3, (4, 3), {"stride": 2}), (2, (3, 3))], {}),
    "one atom": ((2, 1, 20), [(1, (3,)), (1, (1,))], {"n_nonzero": 1}),
    "patch": ((9, 1, 8, 8), [(4, (3, 3)), (5, (3, 3)), (6, (4, 4))], {"n_nonzero": (3, None)}),
    "valid": ((2, 2, 16), [(3, (4,), {"mode": "valid"}), (3, (3,), {"mode": "valid"})], {}),
    "circular": ((2, 1, 16), [(3, (4,), {"mode": "circular"})] * 1 + [
        (3, (3,), {"mode": "circular"})], {}),
    "one layer": ((2, 1, 16), [(3, (4,))], {"n_nonzero": None}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "deep"),
    [*((kind, True) for kind in SIGNALS), ("3-D", False), ("strides", False), ("one atom", False)],
)
def test_signals_of_every_kind(kind, deep, rng):
    shape, layers, options = SIGNALS[kind]
    lmbda = (0.0,) * (len(layers) - 1) + (0.2,) if deep else None
    X = rng.laplace(size=shape)
    model = learner(*layers, **options, lmbda=lmbda, max_iter=4, batch_size=None).fit(X)
    objectives = [line.objective for line in model.history_]
    assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()
    D = model.dictionary_
    for i, code in enumerate((model.transform(X, layer) for layer in range(1, len(D) + 1)), 1):
        assert code.shape == (shape[0], layers[i - 1][0], *D.spatial_shapes(shape[2:])[i])
    assert np.isfinite(model.score(X))
    online = learner(*layers, **options, lmbda=lmbda, batch_size=1, max_iter=2).fit(X)
    assert len(online.history_) == 2 * shape[0]
    assert online.partial_fit(X[:1]).state_.n_steps == 2 * shape[0] + 1
    assert len(model.diagnostics()) == len(layers)


def test_lists_streams_and_seeds(rng):
    X = rng.laplace(size=(4, 1, 16, 15))
    layers, deep = ((3, (4, 4)), (4, (3, 3))), {"lmbda": (0.0, 0.2), "max_iter": 2}
    gather_lists, whole = learner(*layers, **deep).fit(list(X)), learner(*layers, **deep).fit(X)
    for a, b in zip(gather_lists.atoms_, whole.atoms_, strict=True):
        np.testing.assert_array_equal(a, b)
    unlike = [X[0], X[1][:, :12], X[2]]
    codes = learner(*layers, **deep, crop=(13, 13), batch_size=1).fit(unlike).transform(unlike)
    assert [z.shape for z in codes] == [(4, 11, 10), (4, 7, 10), (4, 11, 10)]
    first = whole.transform(list(X[:2]), layer=1)
    assert [x.shape for x in whole.inverse_transform(first, layer=1)] == [(1, 16, 15)] * 2
    np.testing.assert_allclose(
        whole.inverse_transform(whole.transform(X)), whole.dictionary_(whole.transform(X))
    )
    stream, twin = (learner(*layers, **deep, crop=(11, 11)) for _ in range(2))
    stream.fit_stream((x[None] for x in X), steps=3)
    for x in X[:3]:
        twin.partial_fit([x])
    np.testing.assert_array_equal(stream.atoms_[1], twin.atoms_[1])
    other = learner(*layers, **deep).set_params(random_state=1).fit(X)
    assert abs(other.atoms_[0] - whole.atoms_[0]).max() > 1e-3


def test_codes_of_a_layer_are_the_signals_of_the_next(rng):
    X = [rng.laplace(size=(1, n)) for n in (20, 20, 16)]
    layer = csc.DictionaryLearning(3, (4,), 0.5, max_iter=2, coding_tol=1e-8, random_state=0)
    layer.fit(X)
    below = Signals(X).as_codes(layer.dictionary_, layer.penalty_, layer.coding_tol)
    assert below.shapes == [(3, 17), (3, 17), (3, 13)]
    assert len(below) == 3
    assert (below.n_channels, below.dtype) == (3, "float64")
    found = [x for group in below.take([2, 0, 1]) for x in group.x]
    for a, b in zip(found, layer.transform([X[2], X[0], X[1]]), strict=True):
        np.testing.assert_allclose(a, b, atol=5e-3)
    (window,) = below.take([1], ((5,), np.random.default_rng(0)))
    start = int(np.random.default_rng(0).integers(13))
    np.testing.assert_array_equal(window.x[0], found[2][:, start : start + 5])
    dense = CodesAsSignals([np.ones((2, 3, 5))])
    assert next(iter(dense.take([1]))).x.shape == (1, 3, 5)


def test_windows_to_begin_with_are_drawn_by_their_energy(rng):
    x = np.zeros((2, 1, 30))
    x[0, 0, 4:7], x[1, 0, 20:23] = [1, 2, 3], [5, -5, 5]
    signals = Signals(list(x))
    first, atoms = [], None
    for seed in range(300):
        atoms = windows_of(signals, (3,), 3, np.random.default_rng(seed))
        np.testing.assert_allclose((atoms**2).sum(axis=(1, 2)), 1)
        first.append(atoms[0, 0])
    lit = np.lib.stride_tricks.sliding_window_view(x[:, 0], 3, axis=1).reshape(-1, 3)
    energies = (lit**2).sum(axis=1)
    whole = csc.constraints.UnitSphere().project(np.array([[[5.0, -5, 5]]]))[0, 0]
    share = np.mean([np.allclose(d, whole) for d in first])
    assert abs(share - energies.max() ** 2 / (energies**2).sum()) < 0.1
    assert len(windows_of(signals, (3,), 40, rng)) == 40  # noise, once the windows are spent
    assert windows_of(Signals(x.astype("float32")), (3,), 2, rng).dtype == "f4"


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "stop"), [(None, 2), (None, 7), (1, 15)])
def test_resumed_from_a_file_is_bit_identical(stop, batch, rng, tmp_path, monkeypatch):
    X = rng.laplace(size=(2, 1, 30))
    layers = (3, (5,), {"batch_size": batch}), (4, (4,), {"batch_size": batch})
    options = {"batch_size": batch, "max_iter": 3, "lmbda": (csc.Relative(0.05), csc.Relative(0.1))}
    whole, part = learner(*layers, **options).fit(X), learner(*layers, **options)
    steps = []
    for cls in (csc.DictionaryLearning, csc.MultiLayerDictionaryLearning):
        take_step = cls._step

        def interrupted(self, *args, take_step=take_step):
            if len(steps) == stop:
                raise KeyboardInterrupt
            steps.append(1)
            return take_step(self, *args)

        monkeypatch.setattr(cls, "_step", interrupted)
    with pytest.warns(UserWarning, match="interrupted after"):
        part.set_params(checkpoint=tmp_path / "layers.npz").fit(X)
    monkeypatch.undo()
    again = csc.resume(tmp_path / "layers.npz").set_params(checkpoint=None).fit(X)
    for a, b in zip(again.atoms_, whole.atoms_, strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.history_ == whole.history_
    assert again.penalties_ == whole.penalties_


def test_layers_that_tol_ended_are_not_learned_again(rng, tmp_path):
    X = rng.laplace(size=(2, 1, 30))
    ended = {"tol": 0.5, "max_iter": 9}
    options = {"checkpoint": tmp_path / "a.npz", "checkpoint_every": 1}
    model = learner((3, (5,), ended), (4, (4,), ended), **options)
    model._init_state(model._validate_input(X, None, False))
    model._before_passes(Signals(X))
    at_end = csc.load(tmp_path / "a.npz")  # of the last step of layer 2, not yet taken up
    assert at_end.state_.n_pretrained == 1
    again = at_end.set_params(warm_start=True, checkpoint=None).fit(X)
    assert [len(layer.history_) for layer in again.pretrained_] == [2, 2]
    np.testing.assert_array_equal(again.pretrained_[1].atoms_, model.pretrained_[1].atoms_)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to handle")
@pytest.mark.parametrize("cls", [csc.DictionaryLearning, csc.MultiLayerDictionaryLearning])
def test_sigterm_leaves_a_checkpoint_and_ends(cls, rng, tmp_path, monkeypatch):
    take_step = cls._step

    def slow(self, *args):
        take_step(self, *args)
        if self.state_.n_steps == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    monkeypatch.setattr(cls, "_step", slow)
    path = tmp_path / "layers.npz"
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(SystemExit, match="143"):
        learner((3, (5,)), (4, (4,)), checkpoint=path).fit(rng.laplace(size=(2, 1, 30)))
    state = csc.load(path).state_
    joint = cls is csc.MultiLayerDictionaryLearning
    assert (state.n_pretrained, state.n_steps) == ((2, 2) if joint else (0, 0))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to handle")
def test_sigterm_within_a_pursuit_ends_the_fit(rng):
    class Slow(csc.solvers.MLFISTA):
        def step(self, problem, state):  # noqa: ARG002
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    model = learner((3, (5,)), (4, (4,)), pursuit=Slow(), pretrain=False)
    with pytest.warns(UserWarning, match="after 0 steps"), pytest.raises(SystemExit, match="143"):
        model.fit(rng.laplace(size=(2, 1, 30)))


@pytest.mark.slow
@pytest.mark.parametrize("pursuit", [p for p, _ in PURSUITS.values()], ids=PURSUITS)
def test_a_learner_comes_back_whole(pursuit, rng, tmp_path):
    X = rng.laplace(size=(2, 1, 30))
    lmbda = (0.0, 0.0) if isinstance(pursuit, csc.solvers.ProjectionPursuit) else None
    model = learner((3, (5,)), (4, (4,)), pursuit=pursuit, lmbda=lmbda, max_iter=2).fit(X)
    csc.save(tmp_path / "a.npz", model)
    back = csc.load(tmp_path / "a.npz")
    assert back.pursuit == pursuit
    np.testing.assert_array_equal(back.transform(X), model.transform(X))
    np.testing.assert_array_equal(back.partial_fit(X).atoms_[1], model.partial_fit(X).atoms_[1])


def test_dead_deep_atoms_become_what_is_coded_worst(rng):
    X = 0.05 * rng.standard_normal((1, 1, 60))
    bump = csc.constraints.UnitSphere().project(rng.standard_normal((1, 1, 8)))[0]
    X[0, :, 20:28] += 9 * bump
    start = [
        csc.constraints.UnitSphere().project(rng.standard_normal(s)) for s in ((3, 1, 5), (4, 3, 4))
    ]
    start[1][2] = naive.keep_largest(start[1][2:3] * 1e-3, 1)[0] * 1e-9
    layers = [(3, (5,), {"init": start[0]}), (4, (4,), {"init": start[1]})]
    options = {"pretrain": False, "lmbda": (0.0, 0.5), "max_iter": 1}
    model = learner(*layers, n_nonzero=None, replace_after=1, **options).fit(X)
    assert model.history_[0].n_replaced >= 1
    flat = csc.Problem(X, csc.MultiLayerDictionary(map(csc.Dictionary, start)).effective(),
                       csc.L1(0.5))  # fmt: skip
    r = flat.residual(csc.solve(flat, tol=0.02).z)[0, 0]
    windows = np.lib.stride_tricks.sliding_window_view(r, 8)
    worst = windows[(windows**2).sum(axis=1).argmax()][None, None]
    seen = csc.constraints.UnitSphere().project(csc.Dictionary(model.atoms_[0]).adjoint(worst))
    cosines = abs((model.atoms_[1] * seen).sum(axis=(1, 2)))
    assert cosines.max() > 0.9


def test_health_and_plan_of_all_layers(rng):
    X = rng.laplace(size=(2, 1, 60)).astype("float32")
    model = learner((3, (5,)), (4, (4,)))
    memory_plan = model.memory_plan(X)
    assert memory_plan.fits
    sums = 4 * 8 * (4 * 4 * 15 + 4 * 8)  # four of phi and psi of the product
    assert memory_plan.statistics == sums + 16 * 4 * 2 * (15 + 8)  # and spectra
    assert not hasattr(model, "state_")
    first, second = model.fit(X).diagnostics()
    assert (len(first.share), len(second.share)) == (3, 4)
    np.testing.assert_allclose([first.share.sum(), second.share.sum()], 1)
    g = model.dictionary_.synthesize(model.state_.codes[0].dense(), 2, 1)
    energy = (g.astype("float64") ** 2).sum(axis=(0, 2))
    assert abs(first.share - energy / energy.sum()).max() < 0.05  # the atoms have moved since
    with pytest.raises(MemoryError, match="fewer or smaller atoms"):
        learner((3, (5,)), (200_000, (5,))).fit(X)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": []}, "layers must be a list"),
        ({"layers": [csc.constraints.UnitBall()]}, r"layers\[0\] must be a csc.DictionaryLearning"),
        ({"n_nonzero": (1, 2)}, "n_nonzero must be a number, or 1 of them"),
        ({"n_nonzero": 0}, "n_nonzero must be >= 1"),
        ({"lmbda": (0.1,)}, "lmbda must be None or one for each of 2 layers"),
        ({"lmbda": (0.0, csc.TargetSparsity(3))}, "does not support TargetSparsity"),
        ({"crop": (3, 3)}, "crop must have 1 sizes"),
        ({"crop": (7,)}, r"at least as large as the atoms, \(8,\)"),
        (
            {"layers": [csc.DictionaryLearning(2, (3,), csc.TargetSparsity(2))], "n_nonzero": None},
            "layers have a TargetSparsity",
        ),
        ({"coding_iter": 0}, "coding_iter must be >= 1"),
        ({"batch_size": 0}, "batch_size must be >= 1"),
    ],
)
def test_bad_parameters_are_refused(change, words, rng):
    model = learner((3, (5,)), (4, (4,))).set_params(**change)
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(rng.laplace(size=(2, 1, 30)))
    assert not hasattr(model, "state_")


def test_bad_signals_and_layers_are_refused(rng):
    X = rng.laplace(size=(2, 1, 30))
    model = learner((3, (5,)), (4, (4,))).fit(X)
    for bad, words in (
        (X[:, :, :7], "larger than"),
        (np.where(X > 1, np.nan, X), "does not support missing samples"),
        (np.concatenate([X, X], axis=1), "2 channels"),
    ):
        with pytest.raises(ValueError, match=words):
            model.transform(bad)
    with pytest.raises(ValueError, match="mask must be None"):
        model.fit(X, mask=np.ones_like(X))
    with pytest.raises(ValueError, match="layer must be 1 to 2, got 3"):
        model.transform(X, 3)
    modes = (3, (5,)), (4, (4,), {"mode": "valid"})
    with pytest.raises(ValueError, match="layers must have one mode"):
        learner(*modes).fit(X)
    with pytest.raises(ValueError, match="mode must be one of full, valid, circular"):
        learner((3, (5,), {"mode": "same"}), (4, (4,), {"mode": "same"})).fit(X)
    positive = {"lmbda": None, "penalty": csc.L1(0.1, positive=True)}
    with pytest.raises(ValueError, match="only the last layer can"):
        learner((3, (5,), positive), (4, (4,))).fit(X)
    with pytest.raises(ValueError, match=r"layers\[1\].init must have shape \(4, 3, 4\)"):
        learner((3, (5,)), (4, (4,), {"init": np.ones((4, 3, 5))})).fit(X)
    model.layers[1].set_params(n_atoms=5)
    with pytest.raises(ValueError, match="atoms of shapes .* are learned so far"):
        model.partial_fit(X)


def test_reach_is_that_of_the_product(rng):
    for shapes, strides, mode, _ in CASES.values():
        layers = [
            csc.DictionaryLearning(k, tuple(s), 0.1, mode=mode, stride=t)
            for (k, _, *s), t in zip(shapes, strides, strict=True)
        ]
        own = Layers(layers, None)
        D = own.dictionary([rng.standard_normal(shape) for shape in own.shapes(1)])
        assert own.reach == D.effective().atom_shape
        assert own.stride == D.effective().geometry.stride


def fit_planted(X):
    own = {"constraint": csc.constraints.UnitSphere(), "recentre_every": 5, "tol": 0}
    layers = [
        csc.DictionaryLearning(3, (5, 5), 0.3, batch_size=1, max_iter=6, **own),
        csc.DictionaryLearning(6, (6, 6), 0.3, batch_size=4, max_iter=20, **own),
    ]
    options = {"lmbda": (0.0, 0.2), "max_iter": 8, "tol": 0, "random_state": 0}
    return csc.MultiLayerDictionaryLearning(layers, 3, **options).fit(X)


@pytest.mark.slow
def test_planted_layers_are_learned():
    true = csc.datasets.make_multilayer_dictionary([(3, 1, 5, 5), (6, 3, 6, 6)], 3, rng=100)
    X = csc.datasets.make_sparse_signals(true, 5, (40, 40), 32, rng=200).x
    model = fit_planted(X)
    first = csc.analysis.match_dictionaries(true.layers[0], model.dictionary_.layers[0])
    whole = csc.analysis.match_dictionaries(true.effective(), model.dictionary_.effective())
    assert first.score >= 0.95, first
    assert whole.score >= 0.95, whole
    assert ((model.atoms_[1] != 0).sum(axis=(1, 2, 3)) == 3).all()
