"""Layers learned on Dask: the atoms of one machine."""

import numpy as np
import pytest

import csc

pytest.importorskip("distributed", reason="needs Dask: mlcsc[distributed]")

import dask.array as da

from csc.distributed import DaskSignals, fit, memory_plan, transform
from csc.learning._data import Signals
from doubles.dask_cluster import few_together


@pytest.fixture(autouse=True)
def many_groups_and_short_updates(monkeypatch):
    few_together(monkeypatch, 200)
    monkeypatch.setattr("csc.learning.multilayer._learner.UPDATE_PASSES", 2)


@pytest.fixture
def X(rng):
    return rng.laplace(size=(7, 1, 60)).astype("float32")


def learner(n_layers=2, each=None, **parameters):
    each = {"max_iter": 1, "batch_size": None} | (each or {})
    shapes = [(4, 6), (5, 4), (3, 3)][:n_layers]
    layers = [csc.DictionaryLearning(k, (s,), 0.4, **each) for k, s in shapes]
    defaults = {"n_nonzero": 3, "max_iter": 2, "tol": 0, "random_state": 0}
    return csc.MultiLayerDictionaryLearning(layers, **(defaults | parameters))


def of(X):
    return da.from_array(X, chunks=(4, 1, X.shape[2]))


def same(one, other):
    """Whether two learners are the same, bit for bit."""
    assert one.history_ == other.history_
    assert (one.state_.unused == other.state_.unused).all()
    for a, b in zip(one.atoms_, other.atoms_, strict=True):
        np.testing.assert_array_equal(a, b)
    return True


DEEP = (0.0, 0.5)
SOON = {"pursuit": csc.solvers.MLFISTA(), "coding_iter": 6}


@pytest.mark.parametrize(
    "parameters",
    [
        {"lmbda": DEEP},
        {"lmbda": (0.0, csc.Relative(0.1)), "batch_size": 4},
        {"lmbda": DEEP, "crop": (40,), "pretrain": False},
        {"lmbda": DEEP, "each": {"batch_size": 4, "crop": (40,)}},
        {"lmbda": DEEP, "each": {"mode": "circular", "stride": 2}},
        {"lmbda": (0.1, 0.3), **SOON},
        {"lmbda": (csc.Relative(0.05), csc.Relative(0.1)), "batch_size": 4, **SOON},
        {"lmbda": (0.05, 0.1, 0.3), "n_layers": 3, **SOON},
        {"lmbda": (0.1, 1.0), "replace_after": 10, **SOON},
    ],
    ids=lambda parameters: " ".join(map(str, parameters.items())),
)
def test_atoms_are_those_of_one_machine(client, X, parameters):
    alone = learner(**parameters).fit(X)
    assert same(alone, fit(learner(**parameters), of(X), client=client))


@pytest.mark.parametrize("parameters", [{"lmbda": DEEP}, {"lmbda": (0.1, 0.3), **SOON}], ids=str)
def test_weights_of_signals(client, X, parameters):
    weight = np.arange(7) % 3
    alone = learner(**parameters).fit(X, sample_weight=weight)
    assert same(alone, fit(learner(**parameters), of(X), sample_weight=weight, client=client))


def test_a_layered_group_that_is_coded_in_parts_is_the_same(client, X, monkeypatch):
    monkeypatch.setattr(
        "csc.learning.multilayer._encode.MAX_LAYERED_CODES", 1000
    )  # two signals at once
    alone = learner(lmbda=(0.1, 0.3), **SOON).fit(X)
    found = fit(learner(lmbda=(0.1, 0.3), **SOON), of(X), client=client)
    for a, b in zip(alone.atoms_, found.atoms_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)  # sums have another tree


@pytest.mark.parametrize("more", [{"lmbda": DEEP}, {"lmbda": (0.1, 0.3), **SOON}])
def test_deepest_codes_stay_on_the_workers(client, X, more):
    model = learner(**more).fit(X)
    codes = transform(model, of(X), client=client)
    assert codes.shape == (7, 5, 52)
    np.testing.assert_array_equal(codes.gather().dense(), model.transform(X))


def test_what_is_missing_is_refused(client, X):
    with pytest.raises(ValueError, match="mask must be None: multi-layer"):
        fit(learner(), of(X), mask=np.ones(60), client=client)
    X[5, 0, 3] = np.nan
    with pytest.raises(ValueError, match="X holds NaN: multi-layer"):
        fit(learner(), of(X), client=client)
    with pytest.raises(ValueError, match="X holds NaN: multi-layer"):
        transform(learner(max_iter=1).fit(X[:3]), of(X), client=client).gather()


def test_codes_as_signals_are_not_counted_as_dense_ones(client, X, monkeypatch):
    monkeypatch.setattr("csc._memory.MIN_CHECKED_BYTES", 0)
    signals = DaskSignals(of(X), None, client)
    first = csc.DictionaryLearning(64, (6,), 0.4, max_iter=1, random_state=0).fit(X)
    below = signals.as_codes(first.dictionary_, first.penalty_, 1e-3)
    assert below.shapes == [(64, 55)] * 7
    found = csc.DictionaryLearning(5, (4,), 0.4, batch_size=None).memory_plan(below)
    assert found.signals == 0
    assert found.codes == 16 * 55 * 7 // 3
    (group,) = client.gather(client.compute(below.take([6]).groups))
    here = Signals(X).as_codes(first.dictionary_, first.penalty_, 1e-3)
    np.testing.assert_array_equal(group[0].x[0], here.x[6])


def test_a_plan_counts_what_a_worker_holds(client, X):
    found = memory_plan(learner(), of(X), client=client)
    assert found.signals == X.nbytes // 3
    assert found.fits
