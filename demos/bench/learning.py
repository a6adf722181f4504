"""Dictionary learning compared with sporco: the time until its final objective is reached.

Photographs, high-passed, float32, 64 atoms 8 x 8. sporco learns in batch (``ConvBPDNDictLearn``
with consensus, 100 iterations) and online (``OnlineConvBPDNDictLearn``), with the parameters of
its examples. All dictionaries, those of csc after each pass, are evaluated in the same way: the
training photographs and held-out photographs are coded with the atoms inside the signal (mode
"full") to a certified relative gap of 1e-4, and the mean objectives are compared.
Each learner runs in a separate process, with the same number of threads, and reports its peak memory.
For one-dimensional signals csc is compared with alphacsc: see ``learning_series``.
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from time import perf_counter
from typing import NamedTuple

import numpy as np

import csc
from demos._arguments import integer
from demos.bench import learning_series as series
from demos.bench.peers import resident_peak
from demos.bench.report import print_json
from demos.bench.signals import high_passed_photographs, mosaic

SIDE = 256  # pixels of a photograph
N_ATOMS, LMBDA = 64, 0.1
N_HELD_OUT = 3  # photographs


class Learned(NamedTuple):
    """Dictionaries during learning; the last is the final one."""

    seconds: list
    atoms: list  # (K, 1, 8, 8) each
    peak: int  # bytes


def tiles(n):
    """Return squares of photographs ``(n, 1, SIDE, SIDE)``, and `N_HELD_OUT` others."""
    photographs = []
    for a in high_passed_photographs():
        rows, columns = a.shape[1] // SIDE, a.shape[2] // SIDE
        corners = [(SIDE * i, SIDE * j) for i in range(rows) for j in range(columns)]
        photographs.append([a[:, i : i + SIDE, j : j + SIDE] for i, j in corners])
    n_rounds = max(map(len, photographs))
    squares = [p[i] for i in range(n_rounds) for p in photographs if i < len(p)]
    return np.stack(squares[:n]), np.stack(squares[n : n + N_HELD_OUT])


def learn_csc(X, passes):
    """Learn by csc in batch, and keep the atoms of each pass."""
    warm_up = csc.DictionaryLearning(N_ATOMS, (8, 8), LMBDA, max_iter=2, random_state=1)
    warm_up.fit(X[:, :, :64, :64])  # compiles
    model = csc.DictionaryLearning(N_ATOMS, (8, 8), LMBDA, tol=0, random_state=0, warm_start=True)
    return Learned(*series.timed_passes(model, X, passes), resident_peak())


def learn_sporco(X, iterations):
    """Learn by ``ConvBPDNDictLearn``."""
    from sporco.dictlrn import cbpdndl

    options = {
        "Verbose": False, "MaxMainIter": iterations, "CBPDN": {"rho": 50 * LMBDA + 0.5},
        "CCMOD": {"rho": 10, "ZeroMean": False},
    }  # fmt: skip
    options = cbpdndl.ConvBPDNDictLearn.Options(options, dmethod="cns")
    start = perf_counter()
    signals = np.moveaxis(X[:, 0], 0, -1)
    learner = cbpdndl.ConvBPDNDictLearn(_initial_atoms(), signals, LMBDA, options, dmethod="cns")
    learner.solve()
    atoms = np.moveaxis(learner.getdict().squeeze(), -1, 0)[:, None]
    return Learned([perf_counter() - start], [atoms], resident_peak())


def learn_sporco_online(X, passes):
    """Learn by ``OnlineConvBPDNDictLearn``."""
    from sporco.dictlrn import onlinecdl

    coding = {"rho": 5.0, "AutoRho": {"Enabled": True}, "RelaxParam": 1.8, "RelStopTol": 1e-3}
    coding |= {"MaxMainIter": 50, "FastSolve": False, "DataType": np.float32}
    options = {"Verbose": False, "ZeroMean": False, "eta_a": 10.0, "eta_b": 20.0, "CBPDN": coding}
    options = onlinecdl.OnlineConvBPDNDictLearn.Options(options | {"DataType": np.float32})
    start = perf_counter()
    learner = onlinecdl.OnlineConvBPDNDictLearn(_initial_atoms(), LMBDA, options)
    for i in np.random.default_rng(0).integers(len(X), size=passes * len(X)):
        learner.solve(X[i, 0])
    atoms = np.moveaxis(learner.getdict().squeeze(), -1, 0)[:, None]
    return Learned([perf_counter() - start], [atoms], resident_peak())


def learn_many(n, passes):
    """Learn by csc from n pictures of 480 x 720, cut from a mosaic, one picture per step."""
    picture = mosaic(2048)[0]
    rng, X = np.random.default_rng(0), np.empty((n, 1, 480, 720), "float32")
    for x in X:
        i, j = (rng.integers(2048 - extent) for extent in x.shape[1:])
        x[...] = picture[:, i : i + 480, j : j + 720]
    model = csc.DictionaryLearning(
        N_ATOMS, (8, 8), LMBDA, batch_size=1, max_iter=passes, random_state=0
    )
    start = perf_counter()
    model.fit(X)
    return Learned([perf_counter() - start], [model.atoms_], resident_peak())


def _initial_atoms():
    return np.random.default_rng(0).standard_normal((8, 8, N_ATOMS)).astype("float32")


def evaluate(atoms, X):
    """Return the mean objective of certified codes of ``X``."""
    D = csc.Dictionary(csc.constraints.UnitBall().project(np.ascontiguousarray(atoms, "float32")))
    return csc.solve(csc.Problem(X, D, csc.L1(LMBDA)), tol=1e-4).objective / len(X)


def run_in_process(learner, *arguments):
    """Return the result of a learner that runs in a new process."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(learner, *arguments).result()


def compare(case, signals, csc_learner, peers, evaluate):
    """Print the objective of each learner, and the time after which csc reached it.

    ``csc_learner`` is a function and its arguments after the signals; each of the named ``peers``
    is a package, followed by the same.
    """
    X, held_out = signals
    learned = Learned(*run_in_process(csc_learner[0], X, *csc_learner[1:]))
    objectives = [evaluate(atoms, X) for atoms in learned.atoms]
    print_json(
        bench="learning", case=case, method="csc", held_out=evaluate(learned.atoms[-1], held_out),
        seconds=learned.seconds, objectives=objectives, peak_bytes=learned.peak,
    )  # fmt: skip
    for name, (package, learner, *arguments) in peers.items():
        if find_spec(package) is None:
            print_json(bench="learning", case=case, left_out=f"{package} is not installed")
            continue
        try:
            peer = Learned(*run_in_process(learner, X, *arguments))
        except Exception as error:  # for example alphacsc 0.4.1 with NumPy 2.4
            print_json(bench="learning", case=case, left_out=f"{name} failed: {error!r}")
            continue
        goal = evaluate(peer.atoms[-1], X)
        csc_curve = zip(learned.seconds, objectives, strict=True)
        csc_seconds = next((s for s, f in csc_curve if f <= goal), None)
        print_json(
            bench="learning", case=case, method=name, objective=goal,
            held_out=evaluate(peer.atoms[-1], held_out), seconds=peer.seconds[-1],
            csc_seconds=csc_seconds, ratio=csc_seconds and peer.seconds[-1] / csc_seconds,
            peak_bytes=peer.peak,
        )  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench learning", description=__doc__)
    parser.add_argument("--images", type=integer(1), nargs="*", default=[5, 20])
    parser.add_argument("--passes", type=integer(1), default=25, help="passes of csc (25)")
    parser.add_argument(
        "--iterations", type=integer(1), default=100, help="iterations of sporco in batch (100)"
    )
    parser.add_argument(
        "--epochs", type=integer(1), default=10, help="epochs of sporco online (10)"
    )
    parser.add_argument(
        "--series", type=integer(0), default=1000, help="samples of a trial; 0: none"
    )
    parser.add_argument("--rounds", type=integer(1), default=60, help="iterations of alphacsc (60)")
    parser.add_argument(
        "--many", type=integer(1), help="number of pictures of 480 x 720: memory of csc only"
    )
    args = parser.parse_args(argv)
    if args.many:
        many = run_in_process(learn_many, args.many, 1)
        case = f"{args.many} pictures 480x720, one pass"
        print_json(bench="learning", case=case, seconds=many.seconds[-1], peak_bytes=many.peak)
        return
    peers = {
        "sporco batch": ("sporco", learn_sporco, args.iterations),
        "sporco online": ("sporco", learn_sporco_online, args.epochs),
    }
    for n in args.images:
        compare(f"{n} images", tiles(n), (learn_csc, args.passes), peers, evaluate)
    if args.series:
        signals, kinds = series.trials(args.series), ("BatchCDL", "GreedyCDL")
        peers = {
            f"alphacsc {kind}": ("alphacsc", series.learn_alphacsc, kind, args.rounds)
            for kind in kinds
        }
        case = f"{series.N_TRIALS} trials of {args.series} samples"
        compare(case, signals, (series.learn_csc, args.passes), peers, series.evaluate)
