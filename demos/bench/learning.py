"""Dictionary learning beside sporco: the time until its final dictionary is matched.

Photographs, high-passed, float32, 64 atoms 8 x 8. sporco learns in batch (``ConvBPDNDictLearn``
with consensus, 100 iterations) and online (``OnlineConvBPDNDictLearn``), with the parameters of
its examples. Every dictionary, ours after each pass too, is then judged alike: the photographs it
learned from, and others that nobody learned from, are coded anew with its atoms inside the
signal (mode "full"), certified to a relative gap of 1e-4, and the mean objectives are compared.
Each learner runs in a process of its own, on as many threads, and says its peak of memory.
One-dimensional signals are learned beside alphacsc: see ``learning_series``.
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
from demos.bench.report import show
from demos.bench.signals import mosaic, pictures

SIDE, N_ATOMS, LMBDA = 256, 64, 0.1


class Learned(NamedTuple):
    """Dictionaries on the way, the last one last."""

    seconds: list
    atoms: list  # (K, 1, 8, 8) each
    peak: int


def tiles(n):
    """Squares of photographs ``(n, 1, SIDE, SIDE)``, as many of each as needed, and 3 others."""
    cut = []
    for a in pictures():
        rows, columns = a.shape[1] // SIDE, a.shape[2] // SIDE
        corners = [(SIDE * i, SIDE * j) for i in range(rows) for j in range(columns)]
        cut.append([a[:, i : i + SIDE, j : j + SIDE] for i, j in corners])
    cut = [some for some in cut if some]
    spread = [some[i] for i in range(max(map(len, cut))) for some in cut if i < len(some)]
    return np.stack(spread[:n]), np.stack(spread[n : n + 3])


def learn_csc(X, passes):
    """Ours: some passes in batch."""
    warm = csc.DictionaryLearning(N_ATOMS, (8, 8), LMBDA, max_iter=2, random_state=1)
    warm.fit(X[:, :, :64, :64])  # compiles
    model = csc.DictionaryLearning(N_ATOMS, (8, 8), LMBDA, tol=0, random_state=0, warm_start=True)
    return Learned(*series.timed_passes(model, X, passes), resident_peak())


def learn_sporco(X, iterations):
    """``ConvBPDNDictLearn``."""
    from sporco.dictlrn import cbpdndl

    options = {
        "Verbose": False, "MaxMainIter": iterations, "CBPDN": {"rho": 50 * LMBDA + 0.5},
        "CCMOD": {"rho": 10, "ZeroMean": False},
    }  # fmt: skip
    options = cbpdndl.ConvBPDNDictLearn.Options(options, dmethod="cns")
    start = perf_counter()
    signals = np.moveaxis(X[:, 0], 0, -1)
    learner = cbpdndl.ConvBPDNDictLearn(_start(), signals, LMBDA, options, dmethod="cns")
    learner.solve()
    atoms = np.moveaxis(learner.getdict().squeeze(), -1, 0)[:, None]
    return Learned([perf_counter() - start], [atoms], resident_peak())


def learn_sporco_online(X, passes):
    """``OnlineConvBPDNDictLearn``."""
    from sporco.dictlrn import onlinecdl

    coding = {"rho": 5.0, "AutoRho": {"Enabled": True}, "RelaxParam": 1.8, "RelStopTol": 1e-3}
    coding |= {"MaxMainIter": 50, "FastSolve": False, "DataType": np.float32}
    options = {"Verbose": False, "ZeroMean": False, "eta_a": 10.0, "eta_b": 20.0, "CBPDN": coding}
    options = onlinecdl.OnlineConvBPDNDictLearn.Options(options | {"DataType": np.float32})
    start = perf_counter()
    learner = onlinecdl.OnlineConvBPDNDictLearn(_start(), LMBDA, options)
    for i in np.random.default_rng(0).integers(len(X), size=passes * len(X)):
        learner.solve(X[i, 0])
    atoms = np.moveaxis(learner.getdict().squeeze(), -1, 0)[:, None]
    return Learned([perf_counter() - start], [atoms], resident_peak())


def learn_many(n, passes):
    """Ours on n pictures of 480 x 720, drawn from tiles of photographs, one a step."""
    whole = mosaic(2048)[0]
    rng, X = np.random.default_rng(0), np.empty((n, 1, 480, 720), "float32")
    for x in X:
        i, j = (rng.integers(2048 - extent) for extent in x.shape[1:])
        x[...] = whole[:, i : i + 480, j : j + 720]
    model = csc.DictionaryLearning(
        N_ATOMS, (8, 8), LMBDA, batch_size=1, max_iter=passes, random_state=0
    )
    start = perf_counter()
    model.fit(X)
    return Learned([perf_counter() - start], [model.atoms_], resident_peak())


def _start():
    return np.random.default_rng(0).standard_normal((8, 8, N_ATOMS)).astype("float32")


def judge(atoms, X):
    """Mean objective of certified codes of ``X``."""
    D = csc.Dictionary(csc.constraints.UnitBall().project(np.ascontiguousarray(atoms, "float32")))
    return csc.solve(csc.Problem(X, D, csc.L1(LMBDA)), tol=1e-4).objective / len(X)


def apart(learner, *arguments):
    """The result of a learner in a fresh process."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(learner, *arguments).result()


def compare(case, signals, ours, peers, judge):
    """One case: what each learner is as good as, and when ours came so far.

    ``ours`` and each of the named ``peers`` (the package, and then the same) is a learner and what
    it is given after the signals.
    """
    X, held = signals
    mine = Learned(*apart(ours[0], X, *ours[1:]))
    curve = [judge(atoms, X) for atoms in mine.atoms]
    show(
        bench="learning", case=case, method="csc", held_out=judge(mine.atoms[-1], held),
        seconds=mine.seconds, objectives=curve, peak_bytes=mine.peak,
    )  # fmt: skip
    for name, (package, learner, *arguments) in peers.items():
        if find_spec(package) is None:
            show(bench="learning", case=case, left_out=f"{package} is not installed")
            continue
        try:
            theirs = Learned(*apart(learner, X, *arguments))
        except Exception as error:  # alphacsc 0.4.1 with NumPy 2.4, for one
            show(bench="learning", case=case, left_out=f"{name} failed: {error!r}")
            continue
        goal = judge(theirs.atoms[-1], X)
        reached = next((s for s, f in zip(mine.seconds, curve, strict=True) if f <= goal), None)
        show(
            bench="learning", case=case, method=name, objective=goal,
            held_out=judge(theirs.atoms[-1], held), seconds=theirs.seconds[-1],
            csc_seconds=reached, ratio=reached and theirs.seconds[-1] / reached,
            peak_bytes=theirs.peak,
        )  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench learning", description=__doc__)
    parser.add_argument("--images", type=integer(1), nargs="*", default=[5, 20])
    parser.add_argument("--passes", type=integer(1), default=25, help="of csc")
    parser.add_argument("--iterations", type=integer(1), default=100, help="of sporco in batch")
    parser.add_argument("--epochs", type=integer(1), default=10, help="of sporco online")
    parser.add_argument(
        "--series", type=integer(0), default=1000, help="samples of a trial; 0: none"
    )
    parser.add_argument("--rounds", type=integer(1), default=60, help="of alphacsc")
    parser.add_argument("--many", type=integer(1), help="pictures of 480 x 720: memory, ours alone")
    args = parser.parse_args(argv)
    if args.many:
        many = apart(learn_many, args.many, 1)
        case = f"{args.many} pictures 480x720, one pass"
        show(bench="learning", case=case, seconds=many.seconds[-1], peak_bytes=many.peak)
        return
    peers = {
        "sporco batch": ("sporco", learn_sporco, args.iterations),
        "sporco online": ("sporco", learn_sporco_online, args.epochs),
    }
    for n in args.images:
        compare(f"{n} images", tiles(n), (learn_csc, args.passes), peers, judge)
    if args.series:
        signals, kinds = series.trials(args.series), ("BatchCDL", "GreedyCDL")
        peers = {
            f"alphacsc {kind}": ("alphacsc", series.learn_alphacsc, kind, args.rounds)
            for kind in kinds
        }
        case = f"{series.TRIALS} trials of {args.series} samples"
        compare(case, signals, (series.learn_csc, args.passes), peers, series.judge)
