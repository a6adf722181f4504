"""Dictionary learning in one dimension, beside alphacsc: the learners and their signals.

Trials of few non-negative codes of ten atoms of 64 samples and noise, float64, for alphacsc knows
no other numbers and no other codes. Its ``BatchCDL`` and ``GreedyCDL`` learn atoms of full rank
(for one channel), code by locally greedy coordinate descent and start from chunks of the signals;
the strength of the penalty is the same number for all.
"""

import importlib
import os
from time import perf_counter

import numpy as np

import csc
from demos.bench.peers import resident_peak

N_ATOMS, WIDTH, LMBDA, TRIALS = 10, 64, 0.5, 10


def trials(length):
    """Trials to learn from ``(TRIALS, 1, length)``, and 3 others."""
    rng, n, positions = np.random.default_rng(0), TRIALS + 3, length - WIDTH + 1
    smooth = rng.standard_normal((N_ATOMS, 1, WIDTH)).cumsum(axis=2) * np.hanning(WIDTH)
    D = csc.Dictionary(csc.constraints.UnitSphere().project(smooth))
    spikes = rng.random((n, N_ATOMS, positions)) < 2e-3
    z = rng.uniform(1, 3, spikes.shape) * spikes
    X = D(z) + 0.1 * rng.standard_normal((n, 1, length))
    return X[:TRIALS], X[TRIALS:]


def penalty():
    return csc.L1(LMBDA, positive=True)


def learn_csc(X, passes):
    """Ours: some passes in batch, the atoms after each."""
    options = {"penalty": penalty(), "tol": 0, "random_state": 0, "recentre_every": 5}
    csc.DictionaryLearning(N_ATOMS, (WIDTH,), max_iter=6, **options).fit(X[:, :, :300])  # compiles
    model = csc.DictionaryLearning(N_ATOMS, (WIDTH,), warm_start=True, **options)
    return (*timed_passes(model, X, passes), resident_peak())


def timed_passes(model, X, passes):
    """Seconds and atoms after each pass of a learner with ``warm_start=True``."""
    seconds, atoms = [], []
    for i in range(passes):
        start = perf_counter()
        model.set_params(max_iter=i + 1).fit(X)
        seconds.append(perf_counter() - start)
        atoms.append(model.atoms_)
    return np.cumsum(seconds).tolist(), atoms


def learn_alphacsc(X, kind, n_iter):
    """``BatchCDL`` or ``GreedyCDL``; a first, short run compiles."""
    os.environ.setdefault("MNE_DONTWRITE_HOME", "true")
    learner = getattr(importlib.import_module("alphacsc"), kind)
    options = {
        "reg": LMBDA, "lmbd_max": "fixed", "rank1": False, "solver_z": "lgcd", "D_init": "chunk",
        "solver_z_kwargs": {"tol": 1e-2, "max_iter": 100_000}, "random_state": 0, "verbose": 0,
    }  # fmt: skip
    learner(N_ATOMS, WIDTH, n_iter=N_ATOMS + 1, **options).fit(X[:, :, :300])
    model = learner(N_ATOMS, WIDTH, n_iter=n_iter, **options)
    start = perf_counter()
    model.fit(X)
    return [perf_counter() - start], [model.D_hat_], resident_peak()


def judge(atoms, X):
    """Mean objective of certified codes of ``X``."""
    D = csc.Dictionary(csc.constraints.UnitBall().project(np.ascontiguousarray(atoms)))
    return csc.solve(csc.Problem(X, D, penalty()), tol=1e-6).objective / len(X)
