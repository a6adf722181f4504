"""Learning from CuPy arrays, next to learning from NumPy's."""

import numpy as np
import pytest

import csc
from csc._backend import device_of
from csc.learning import _statistics as statistics
from csc.learning._batch import Batch
from csc.learning._data import Signals
from csc.learning._init import windows_of
from csc.learning._step import EncodedBatch, StepConfig, init_state, update_state
from csc.learning.multilayer._encode import EncodedLayers
from csc.learning.multilayer._layers import Layers
from csc.learning.multilayer._step import LayersBatch, LayersStepConfig, update_layers_state

pytestmark = pytest.mark.usefixtures("cupy")
CLOSE = {"float32": 1e-4, "float64": 1e-9}  # of patches; both are coded to coding_tol


def on_gpu(x):
    return csc.to_device(x, "gpu")


def both(make, X, **kwargs):
    """A learner fitted on the CPU, and one on the device."""
    there = {name: on_gpu(value) for name, value in kwargs.items()}
    return make().fit(X, **kwargs), make().fit(on_gpu(X), **there)


def assert_alike(ours, theirs, rtol):
    assert device_of(theirs.atoms_) == "gpu"
    assert theirs.atoms_.dtype == ours.atoms_.dtype
    back = csc.to_device(theirs.atoms_, "cpu")
    np.testing.assert_allclose(back, ours.atoms_, rtol=0, atol=rtol)
    lines = [[step.objective for step in model.history_] for model in (ours, theirs)]
    np.testing.assert_allclose(lines[1], lines[0], rtol=rtol)


def test_patches(rng, dtype):
    X = rng.laplace(size=(60, 1, 3, 3)).astype(dtype)

    def make():
        how = {"coding_tol": 1e-6, "max_iter": 2, "batch_size": 20, "random_state": 0}
        return csc.DictionaryLearning(6, (3, 3), 0.5, **how)

    ours, theirs = both(make, X)
    assert_alike(ours, theirs, CLOSE[dtype.name])
    codes = theirs.transform(on_gpu(X))
    np.testing.assert_allclose(codes.get(), ours.transform(X), atol=CLOSE[dtype.name])
    assert device_of(theirs.inverse_transform(codes)) == "gpu"
    assert theirs.score(on_gpu(X)) == pytest.approx(ours.score(X), rel=1e-4)
    assert len(theirs.diagnostics().share) == 6


@pytest.mark.parametrize(
    ("mode", "dtype"), [("full", "float32"), ("same", "float64"), ("circular", "float32")]
)
def test_images(rng, dtype, mode):
    dtype = np.dtype(dtype)
    X = rng.laplace(size=(2, 1, 8, 9)).astype(dtype)

    def make():
        how = {"coding_tol": 1e-6, "max_iter": 2, "random_state": 0, "mode": mode}
        learner = csc.DictionaryLearning(2, (3, 2), 1.2, **how)
        learner._precision = lambda _: {"float32": 1e-6, "float64": 1e-9}[dtype.name]
        return learner

    assert_alike(*both(make, X), {"float32": 1e-3, "float64": 1e-4}[dtype.name])


def test_statistics_with_a_mask(rng):
    x, atoms = rng.standard_normal((2, 1, 9, 8)), rng.standard_normal((3, 1, 3, 2))
    mask = (rng.random(x.shape) < 0.8).astype(float)
    for mode in ("full", "valid", "same", "circular"):
        problem = csc.Problem(x, csc.Dictionary(atoms, mode), csc.L1(0.1), mask)
        z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.3)
        ours = statistics.sums_of_codes(problem, z)
        theirs = statistics.sums_of_codes(on_gpu(problem), on_gpu(z))
        for one, other in zip(ours, csc.to_device(theirs, "cpu"), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (8, 9)], ids=["patches", "images"])
def test_a_step_from_the_same_codes_is_the_same(rng, dtype, shape):
    x, atoms = rng.standard_normal((4, 1, *shape)), rng.standard_normal((5, 1, 3, 3))
    problem = csc.Problem(x.astype(dtype), csc.Dictionary(atoms.astype(dtype)), csc.L1(0.1))
    z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.4)
    stride = None if problem.structure.is_patch else (1, 1)
    empty = statistics.zeros_like_atoms(problem.dictionary.atoms, stride)
    start = init_state(problem.dictionary.atoms, empty)
    batch = Batch([EncodedBatch(problem, z.astype(dtype))])
    rules = StepConfig(
        csc.constraints.ZeroMean() & csc.constraints.UnitBall(),
        csc.learning.HomeostaticGain(),
        4.0,
        100,
        n_passes=3,
    )
    ours, line = update_state(start, batch, rules)
    theirs, there = update_state(on_gpu(start), on_gpu(batch), rules)
    close = {"float32": 1e-5, "float64": 1e-12}[dtype.name]
    np.testing.assert_allclose(theirs.atoms.get(), ours.atoms, atol=close)
    assert tuple(there) == pytest.approx(tuple(line), rel=close, nan_ok=True)
    for one, other in zip(ours.statistics, csc.to_device(theirs.statistics, "cpu"), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-11)


def test_dead_and_off_centre_atoms_are_mended(rng):
    X = rng.laplace(size=(2, 1, 7, 8))

    def make():
        how = {"max_iter": 2, "random_state": 0, "replace_after": 1, "recentre_every": 1}
        gain = csc.learning.HomeostaticGain()
        learner = csc.DictionaryLearning(3, (3, 3), 1.5, homeostasis=gain, **how)
        learner._precision = lambda _: 1e-9
        return learner

    ours, theirs = both(make, X)
    assert_alike(ours, theirs, 1e-4)
    assert [s.n_replaced for s in theirs.history_] == [s.n_replaced for s in ours.history_]


def test_masks_missing_samples_and_lists(rng):
    X = [rng.laplace(size=(1, 7, 8)), rng.laplace(size=(1, 9, 6))]
    X[0][0, 2, 3] = np.nan
    masks = [np.ones((1, 7, 8)), (rng.random((1, 9, 6)) < 0.9).astype(float)]

    def make():
        how = {"max_iter": 1, "random_state": 0, "batch_size": 1}
        learner = csc.DictionaryLearning(2, (3, 3), 1.0, **how)
        learner._precision = lambda _: 1e-9
        return learner

    ours, theirs = both(make, X, mask=masks)
    assert_alike(ours, theirs, 1e-4)
    with pytest.raises(TypeError, match=r"mask.* lies on the CPU|mask.* on the CPU"):
        make().fit(on_gpu(X), mask=masks)


def test_what_was_learned_moves_saves_and_goes_on(rng, tmp_path):
    X = rng.laplace(size=(30, 1, 5))
    learner = csc.DictionaryLearning(4, (5,), 0.5, max_iter=2, batch_size=10, random_state=0)
    there = learner.fit(on_gpu(X))
    with pytest.raises(TypeError, match=r"X lies on the CPU .* atoms_ on the GPU"):
        there.transform(X)
    with pytest.raises(TypeError, match=r"X lies on the CPU .* atoms_ on the GPU"):
        there.partial_fit(X)
    csc.save(tmp_path / "atoms.npz", there)
    loaded = csc.load(tmp_path / "atoms.npz")
    assert device_of(loaded.atoms_) == "cpu"
    again = on_gpu(loaded).set_params(warm_start=True, max_iter=4).fit(on_gpu(X))
    whole = csc.DictionaryLearning(4, (5,), 0.5, max_iter=4, batch_size=10, random_state=0)
    whole.fit(on_gpu(X))
    np.testing.assert_array_equal(again.atoms_.get(), whole.atoms_.get())
    assert csc.to_device(loaded, "cpu") is loaded


def layers_learner(lmbda, **how):
    layers = [csc.DictionaryLearning(k, (s,), 0.5, max_iter=1) for k, s in ((2, 4), (3, 3))]
    return csc.MultiLayerDictionaryLearning(layers, 4, lmbda, random_state=0, **how)


@pytest.mark.parametrize("n_seen", [1, 10**6], ids=["atoms replaced", "none replaced"])
def test_a_step_of_layers_from_the_same_codes_is_the_same(rng, dtype, n_seen):
    x = rng.laplace(size=(3, 1, 20)).astype(dtype)
    model = layers_learner((0.1, 0.4), pretrain=False, max_iter=1).fit(x)
    problem = csc.MultiLayerProblem(x, model.dictionary_, model.penalties_)
    z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.3)
    z[:, 1] = 0  # dead
    flat = csc.Problem(x, model.dictionary_.effective(), model.penalties_[-1])
    coded = [EncodedLayers(EncodedBatch(flat, z.astype(dtype)), problem, None)]
    own = Layers(model.layers, model.n_nonzero)
    rules = LayersStepConfig(own.constraints, own.strides, 4.0, n_seen, n_passes=2, lmbda=0.4)
    ours, line = update_layers_state(model.state_, LayersBatch.of(coded), rules)
    there_too = LayersBatch.of(on_gpu(coded))
    theirs, there = update_layers_state(on_gpu(model.state_), there_too, rules)
    close = {"float32": 1e-5, "float64": 1e-11}[dtype.name]
    assert line.n_replaced == (n_seen == 1)
    assert tuple(there) == pytest.approx(tuple(line), rel=close)
    for one, other in zip(ours.atoms, theirs.atoms, strict=True):
        np.testing.assert_allclose(other.get(), one, atol=close)


def test_layers_are_learned_jointly(rng, tmp_path):
    X = rng.laplace(size=(2, 1, 20))
    ours, theirs = both(lambda: layers_learner((0.0, 0.6), max_iter=2), X)
    for one, other in zip(ours.atoms_, theirs.atoms_, strict=True):
        assert device_of(other) == "gpu"
        assert other.shape == one.shape
    codes = theirs.transform(on_gpu(X))
    back = csc.to_device(theirs, "cpu")
    np.testing.assert_allclose(codes.get(), back.transform(X), atol=0.05)  # to coding_tol
    assert device_of(theirs.inverse_transform(codes)) == "gpu"
    assert theirs.score(on_gpu(X)) == pytest.approx(back.score(X), rel=1e-2)
    assert [len(one.share) for one in theirs.diagnostics()] == [2, 3]
    with pytest.raises(TypeError, match="X lies on the CPU"):
        theirs.transform(X)
    csc.save(tmp_path / "layers.npz", theirs)
    loaded = csc.load(tmp_path / "layers.npz")
    np.testing.assert_array_equal(loaded.atoms_[1], theirs.atoms_[1].get())
    again = on_gpu(loaded).set_params(warm_start=True, max_iter=3).fit(on_gpu(X))
    assert len(again.history_) == 3


def test_windows_to_begin_with_are_the_same(rng):
    X = rng.laplace(size=(3, 2, 30))
    ours = windows_of(Signals(X), (5,), 4, np.random.default_rng(0))
    theirs = windows_of(Signals(on_gpu(X)), (5,), 4, np.random.default_rng(0))
    np.testing.assert_allclose(theirs.get(), ours, atol=1e-12)
