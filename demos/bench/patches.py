"""Patch coding and patch learning compared with SPAMS and scikit-learn.

Coding: 20,000 whitened 12x12 patches, 192 learned atoms, the lasso to a relative suboptimality of
1e-6. Learning: the time until the held-out objective is as low as the final one of the other
library. All start from the same atoms; every objective is computed in float64 by the same NumPy
code, from codes with relative gap 1e-6.
Constraints: the processor time of learning with tapered atoms as a multiple of that with `UnitBall`, at
the same lambda and at the same number of codes per patch.
"""

import argparse
import os
import warnings
from functools import partial
from time import perf_counter, process_time

import numpy as np

import csc
from demos._arguments import integer, number
from demos.bench.report import best_time, print_json

K, SIDE = 192, 12  # atoms; pixels
N, N_HELD_OUT = 20_000, 5_000  # patches
BATCH = 512  # patches
ROUNDS = 3  # of the constraints in turn; the shortest time counts
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def patches(dtype):
    whitened = [csc.images.whiten(p.pixels, variance=0.1) for p in csc.images.natural()]
    X = csc.images.extract_patches(whitened, (SIDE, SIDE), n=N + N_HELD_OUT, border=4, rng=0)
    X = np.random.default_rng(0).permutation(X).astype(dtype)
    return X[:N], X[N:]


def objective(X, atoms, codes, lmbda):
    """Return the mean lasso objective per patch in float64, by NumPy."""
    x, d, z = (a.reshape(len(a), -1).astype("float64") for a in (X, atoms, codes))
    return (0.5 * np.sum((x - z @ d) ** 2) + lmbda * np.abs(z).sum()) / len(x)


# Coding: each function returns codes (N, K).


def code_csc(X, atoms, lmbda):
    return csc.sparse_code(X, atoms, lmbda, tol=1e-4).codes  # its suboptimality is printed


def code_spams(X, atoms, lmbda):
    import spams

    columns = np.asfortranarray(X.reshape(len(X), -1).T)
    d = np.asfortranarray(atoms.reshape(len(atoms), -1).T)
    codes = spams.lasso(columns, D=d, lambda1=lmbda, mode=spams.PENALTY, numThreads=THREADS)
    return codes.T.toarray()


def code_sklearn(X, atoms, lmbda):
    from sklearn.decomposition import sparse_encode

    x, d = X.reshape(len(X), -1), atoms.reshape(len(atoms), -1)
    return sparse_encode(x, d, algorithm="lasso_cd", alpha=lmbda, max_iter=1000)


def coding(lmbda, dtype, others):
    X, _ = patches(dtype)
    learner = csc.DictionaryLearning(K, (SIDE, SIDE), lmbda, max_iter=2, random_state=0)
    atoms = learner.fit(X).atoms_
    minimum = csc.sparse_code(X.astype("f8"), atoms.astype("f8"), lmbda, tol=1e-10).codes
    min_objective = objective(X, atoms, minimum, lmbda)
    n_nonzero = float((minimum != 0).sum() / len(X))
    seconds_csc = None
    for name, code in {"csc": code_csc, **others}.items():
        code(X[:BATCH], atoms, lmbda)  # warm-up: compilation, thread pools
        seconds, codes = best_time(partial(code, X, atoms, lmbda), 1 if "sklearn" in name else 9)
        seconds_csc = seconds_csc or seconds
        print_json(
            bench="patches", case="coding", solver=name, dtype=dtype, lmbda=lmbda,
            nonzero_per_patch=round(n_nonzero, 2), microseconds_per_patch=seconds / N * 1e6,
            relative_suboptimality=objective(X, atoms, codes, lmbda) / min_objective - 1,
            times_slower_than_csc=seconds / seconds_csc,
        )  # fmt: skip


# Learning: each function returns seconds and the final atoms.


def learn_spams(X, init, lmbda, n_epochs):
    import spams

    columns = np.asfortranarray(X.reshape(len(X), -1).T)
    initial = np.asfortranarray(init.reshape(K, -1).T)
    start = perf_counter()
    d = spams.trainDL(
        columns, D=initial, lambda1=lmbda, mode=spams.PENALTY, batchsize=BATCH,
        iter=n_epochs * (N // BATCH), numThreads=THREADS, verbose=False,
    )  # fmt: skip
    return perf_counter() - start, np.ascontiguousarray(d.T).reshape(init.shape)


def learn_sklearn(X, init, lmbda, n_epochs):
    from sklearn.decomposition import MiniBatchDictionaryLearning

    model = MiniBatchDictionaryLearning(
        K, alpha=lmbda, batch_size=BATCH, max_iter=n_epochs, fit_algorithm="cd", tol=0,
        max_no_improvement=None, dict_init=init.reshape(K, -1), random_state=0,
    )  # fmt: skip
    start = perf_counter()
    model.fit(X.reshape(len(X), -1))
    return perf_counter() - start, model.components_.reshape(init.shape)


def learn_csc(X, init, lmbda, n_epochs):
    """Return the seconds and atoms of csc after every tenth batch."""
    model = csc.DictionaryLearning(
        K, (SIDE, SIDE), lmbda, batch_size=BATCH, init=init, random_state=0
    )
    batches = [X[i : i + BATCH] for i in range(0, len(X) - BATCH + 1, BATCH)]
    seconds, history = 0.0, []
    for t in range(n_epochs * len(batches)):
        start = perf_counter()
        model.partial_fit(batches[t % len(batches)])
        seconds += perf_counter() - start
        if t % 10 == 9:
            history.append((seconds, model.atoms_))
    return history


def learning(lmbda, dtype, others, n_epochs):
    X, held_out = patches(dtype)
    init = csc.constraints.UnitSphere().project(X[np.random.default_rng(0).permutation(N)[:K]])

    def held_out_objective(atoms):
        atoms = csc.constraints.UnitBall().project(atoms.astype(dtype))
        codes = csc.sparse_code(held_out, atoms, lmbda, tol=1e-6).codes
        return objective(held_out, atoms, codes, lmbda)

    learn_csc(X[: 2 * BATCH], init, lmbda, 1)  # warm-up
    history = [(s, held_out_objective(atoms)) for s, atoms in learn_csc(X, init, lmbda, n_epochs)]
    print_json(
        bench="patches", case="learning", solver="csc", dtype=dtype, lmbda=lmbda,
        n_epochs=n_epochs, seconds=history[-1][0], held_out_objective=history[-1][1],
    )  # fmt: skip
    for name, learn in others.items():
        seconds, atoms = learn(X, init, lmbda, n_epochs)
        final = held_out_objective(atoms)
        seconds_csc = next((s for s, value in history if value <= final), None)
        print_json(
            bench="patches", case="learning", solver=name, dtype=dtype, lmbda=lmbda,
            n_epochs=n_epochs, seconds=seconds, held_out_objective=final,
            csc_seconds_to_that=seconds_csc,
            times_slower_than_csc=seconds_csc and seconds / seconds_csc,
        )  # fmt: skip


# Constraints


def learn_with(constraint, X, lmbda, n_epochs):
    """Return the processor seconds of learning, and the codes per patch in the last pass."""
    model = csc.DictionaryLearning(
        K, (SIDE, SIDE), lmbda, constraint=constraint, batch_size=BATCH, max_iter=n_epochs, tol=0,
        random_state=0,
    )  # fmt: skip
    start = process_time()
    model.fit(X)
    seconds, last = process_time() - start, model.history_[-(len(X) // BATCH) :]
    return seconds, float(np.mean([step.n_nonzero for step in last]))


def constraints(lmbda, dtype, n_epochs):
    X, _ = patches(dtype)
    plain = csc.constraints.UnitBall()
    others = [csc.constraints.TaperedBall(edge) for edge in (0.5, 1.0)]
    for constraint in (plain, *others):
        learn_with(constraint, X[: 2 * BATCH], lmbda, 1)  # warm-up: compilation
    _, n_nonzero = learn_with(plain, X, lmbda, n_epochs)
    for weight in (lmbda, csc.TargetSparsity(n_nonzero)):
        runs = [
            [learn_with(constraint, X, weight, n_epochs) for constraint in (plain, *others)]
            for _ in range(ROUNDS)
        ]
        seconds = [min(run[i][0] for run in runs) for i in range(1 + len(others))]
        for constraint, own, (_, codes) in zip((plain, *others), seconds, runs[0], strict=True):
            print_json(
                bench="patches", case="constraints", constraint=str(constraint), dtype=dtype,
                lmbda=str(weight), n_epochs=n_epochs, cpu_seconds=own,
                nonzero_per_patch=round(codes, 2), times_unit_ball=own / seconds[0],
            )  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench patches", description=__doc__)
    lmbda = "coding with each, learning with the first"
    parser.add_argument("--lmbda", type=number(0), nargs="+", default=[0.5, 0.2], help=lmbda)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--epochs", type=integer(1), default=3, help="epochs of learning (3)")
    parser.add_argument("--only", choices=["coding", "learning", "constraints"])
    args = parser.parse_args(argv)
    if args.only == "constraints":
        constraints(args.lmbda[0], args.dtype, args.epochs)
        return
    warnings.simplefilter("ignore")  # deprecations inside the other libraries
    coders = {"spams": code_spams, "sklearn lasso_cd": code_sklearn}
    learners = {"spams trainDL": learn_spams, "sklearn MiniBatch": learn_sklearn}
    try:
        import spams  # noqa: F401
    except ImportError:
        print("SPAMS is left out; to install it: pip install spams-bin")
        del coders["spams"], learners["spams trainDL"]
    if args.only != "learning":
        for lmbda in args.lmbda:
            coding(lmbda, args.dtype, coders)
    if args.only != "coding":
        learning(args.lmbda[0], args.dtype, learners, args.epochs)
