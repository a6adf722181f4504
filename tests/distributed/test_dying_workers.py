"""A worker process that dies while a learner fits: its codes are computed again."""

import os
import signal

import numpy as np
import pytest

import csc

pytest.importorskip("distributed", reason="needs Dask: mlcsc[distributed]")

import dask.array as da
from dask.distributed import Client

from csc.distributed import fit
from doubles.dask_cluster import few_together

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processes():
    arguments = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(processes=True, **arguments) as client:
        yield client


def fit_while_a_worker_dies(learner, X, n_steps, client):
    """`fit`; one of the worker processes is killed after so many steps, and started anew."""
    client.wait_for_workers(2)
    victims = list(client.run(os.getpid).values())[:1]
    save = learner._save_checkpoint

    def save_and_kill(**always):
        if learner.state_.n_steps == n_steps and victims:
            os.kill(victims.pop(), signal.SIGKILL)
        save(**always)

    learner._save_checkpoint = save_and_kill
    found = fit(learner, X, client=client)
    assert not victims
    return found


def test_one_layer_is_learned_as_on_one_machine(processes, monkeypatch, rng):
    few_together(monkeypatch, 600)
    X = rng.laplace(size=(23, 1, 14, 13)).astype("float32")

    def learner():
        return csc.DictionaryLearning(4, (4, 3), 0.8, max_iter=6, tol=0, random_state=0)

    alone = learner().fit(X)
    chunks = da.from_array(X, chunks=(5, 1, 14, 13))
    found = fit_while_a_worker_dies(learner(), chunks, 3, processes)
    assert alone.history_ == found.history_
    np.testing.assert_array_equal(alone.atoms_, found.atoms_)


def test_two_layers_are_learned_as_on_one_machine(processes, monkeypatch, rng):
    few_together(monkeypatch, 200)
    monkeypatch.setattr("csc.learning.multilayer._learner.UPDATE_PASSES", 2)
    X = rng.laplace(size=(7, 1, 60)).astype("float32")

    def learner():
        layers = [
            csc.DictionaryLearning(k, (s,), 0.4, max_iter=1, batch_size=None)
            for k, s in [(4, 6), (5, 4)]
        ]
        return csc.MultiLayerDictionaryLearning(
            layers, n_nonzero=3, lmbda=(0.1, 0.3), max_iter=3, tol=0, random_state=0,
            pursuit=csc.solvers.MLFISTA(), coding_iter=6,
        )  # fmt: skip

    alone = learner().fit(X)
    found = fit_while_a_worker_dies(learner(), da.from_array(X, (4, 1, 60)), 2, processes)
    for a, b in zip(alone.atoms_, found.atoms_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)  # the groups here are of other sizes
