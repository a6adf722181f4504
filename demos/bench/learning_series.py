"""Dictionary learning in one dimension, compared with alphacsc: the learners and their signals.

Trials are sparse non-negative codes of ten atoms of 64 samples, plus noise, in float64: alphacsc
supports only this type and only non-negative codes. Its ``BatchCDL`` and ``GreedyCDL`` learn atoms
of full rank (for one channel), code by locally greedy coordinate descent and start from chunks of
the signals. lambda is the same for all.
"""

import importlib
import os
from time import perf_counter

import numpy as np

import csc
from demos.bench.peers import resident_peak

N_ATOMS, ATOM_LENGTH, LMBDA = 10, 64, 0.5  # length in samples
N_TRIALS, N_HELD_OUT = 10, 3


def trials(length):
    """Return training trials ``(N_TRIALS, 1, length)``, and `N_HELD_OUT` others."""
    rng, n, positions = np.random.default_rng(0), N_TRIALS + N_HELD_OUT, length - ATOM_LENGTH + 1
    smooth = rng.standard_normal((N_ATOMS, 1, ATOM_LENGTH)).cumsum(axis=2) * np.hanning(ATOM_LENGTH)
    D = csc.Dictionary(csc.constraints.UnitSphere().project(smooth))
    spikes = rng.random((n, N_ATOMS, positions)) < 2e-3
    z = rng.uniform(1, 3, spikes.shape) * spikes
    X = D(z) + 0.1 * rng.standard_normal((n, 1, length))
    return X[:N_TRIALS], X[N_TRIALS:]


def penalty():
    return csc.L1(LMBDA, positive=True)


def learn_csc(X, passes):
    """Learn by csc in batch, and keep the atoms of each pass."""
    options = {"penalty": penalty(), "tol": 0, "random_state": 0, "recentre_every": 5}
    csc.DictionaryLearning(N_ATOMS, (ATOM_LENGTH,), max_iter=6, **options).fit(
        X[:, :, :300]
    )  # compiles
    model = csc.DictionaryLearning(N_ATOMS, (ATOM_LENGTH,), warm_start=True, **options)
    return (*timed_passes(model, X, passes), resident_peak())


def timed_passes(model, X, passes):
    """Return seconds and atoms after each pass of a learner with ``warm_start=True``."""
    seconds, atoms = [], []
    for i in range(passes):
        start = perf_counter()
        model.set_params(max_iter=i + 1).fit(X)
        seconds.append(perf_counter() - start)
        atoms.append(model.atoms_)
    return np.cumsum(seconds).tolist(), atoms


def learn_alphacsc(X, kind, n_iter):
    """Learn by ``BatchCDL`` or ``GreedyCDL``; a first, short run compiles."""
    os.environ.setdefault("MNE_DONTWRITE_HOME", "true")
    learner = getattr(importlib.import_module("alphacsc"), kind)
    options = {
        "reg": LMBDA, "lmbd_max": "fixed", "rank1": False, "solver_z": "lgcd", "D_init": "chunk",
        "solver_z_kwargs": {"tol": 1e-2, "max_iter": 100_000}, "random_state": 0, "verbose": 0,
    }  # fmt: skip
    learner(N_ATOMS, ATOM_LENGTH, n_iter=N_ATOMS + 1, **options).fit(X[:, :, :300])
    model = learner(N_ATOMS, ATOM_LENGTH, n_iter=n_iter, **options)
    start = perf_counter()
    model.fit(X)
    return [perf_counter() - start], [model.D_hat_], resident_peak()


def evaluate(atoms, X):
    """Return the mean objective of certified codes of ``X``."""
    D = csc.Dictionary(csc.constraints.UnitBall().project(np.ascontiguousarray(atoms)))
    return csc.solve(csc.Problem(X, D, penalty()), tol=1e-6).objective / len(X)
