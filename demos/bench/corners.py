"""Lassos that are hard for their size: small lmbda, coherent atoms, many small signals, other penalties.

Compared with SPAMS (``lasso``, its LARS) where it can hold the dictionary as a matrix: the times of SPAMS leave
out the making of the matrix, those of csc are whole calls with a certificate. Both run on one
thread; a time is the processor time of the best of some runs. Objectives are computed by the same
NumPy lines in float64. Other penalties are compared with the time of the lasso at the same lmbda.
"""

import argparse
import importlib.util
from functools import partial
from itertools import product
from time import process_time

import numba
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import LinearOperator

import csc
from demos._arguments import integer, number
from demos.bench.report import print_json
from demos.bench.signals import learned_atoms, photograph, series

MAX_CODES_OF_SPAMS = 5000  # a matrix of 200 MB
REPEATS = 3
FISTA_STEPS = 2000  # on measured signals, where it does not converge
RICKER_FREQUENCY, RICKER_SAMPLES = 0.08, 61  # cycles per sample


def short_signal():
    """Return 100 samples of noise, and 6 random atoms of 9."""
    rng = np.random.default_rng(0)
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((6, 1, 9)))
    return rng.standard_normal((1, 1, 100)), csc.Dictionary(atoms)


def reflections(n):
    """Return a series of spikes convolved with a Ricker wavelet, and one per cent of noise."""
    rng, t = np.random.default_rng(0), np.arange(RICKER_SAMPLES) - RICKER_SAMPLES // 2
    square = (np.pi * RICKER_FREQUENCY * t) ** 2
    wavelet = (1 - 2 * square) * np.exp(-square)
    D = csc.Dictionary((wavelet / np.linalg.norm(wavelet))[None, None], "same")
    z = np.zeros((1, 1, n))
    z[0, 0, rng.choice(n, n // 25, replace=False)] = rng.standard_normal(n // 25)
    clean = D(z)
    return clean + 0.01 * abs(clean).max() * rng.standard_normal(clean.shape), D


def digits():
    """Return 397 digits of 8x8, and 16 random atoms of 3x3."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((16, 1, 3, 3)))
    return load_digits().images[:397, None] / 16, csc.Dictionary(atoms)


def long_series():
    x, atoms = series(20_000)
    return x, csc.Dictionary(atoms)


def small_photograph():
    return photograph(128), csc.Dictionary(learned_atoms(64, 8))


CASES = {
    "100 samples, 6 atoms of 9": short_signal,
    "deconvolution, 500 samples": partial(reflections, 500),
    "deconvolution, 3000 samples": partial(reflections, 3000),
    "deconvolution, 20000 samples": partial(reflections, 20_000),
    "397 digits 8x8, 16 atoms 3x3": digits,
    "20000 samples, 10 atoms of 64": long_series,
    "128x128, 64 atoms 8x8": small_photograph,
}


def best_cpu_time(function, repeats):
    """Return the shortest processor seconds of some calls, and the last return value."""
    seconds = float("inf")
    for _ in range(repeats):
        start = process_time()
        result = function()
        seconds = min(seconds, process_time() - start)
    return seconds, result


def code_spams(x, matrix, lmbda):
    import spams

    columns = np.asfortranarray(x.reshape(len(x), -1).T)
    codes = spams.lasso(columns, D=matrix, lambda1=lmbda, mode=spams.PENALTY, numThreads=1)
    return codes.T.toarray()


def compare_lasso(name, fraction, tol):
    """Print seconds of csc and SPAMS."""
    x, D = CASES[name]()
    lmbda = fraction * csc.lmbda_max(x, D)
    csc.sparse_code(x[:1], D, lmbda, tol=tol)  # compiles
    seconds, solution = best_cpu_time(partial(csc.sparse_code, x, D, lmbda, tol=tol), REPEATS)
    case = {"bench": "corners", "case": name, "fraction": fraction}
    print_json(
        **case, solver="csc", seconds=seconds, objective=solution.objective,
        relative_gap=solution.relative_gap, nonzero=int((solution.codes != 0).sum()),
    )  # fmt: skip
    if solution.codes[0].size > MAX_CODES_OF_SPAMS or importlib.util.find_spec("spams") is None:
        return
    matrix = np.asfortranarray(D.synthesis_matrix(x.shape[2:]).toarray().T)
    seconds_spams, codes = best_cpu_time(partial(code_spams, x, matrix, lmbda), REPEATS)
    residual = x.reshape(len(x), -1) - codes @ matrix.T
    objective = 0.5 * float((residual**2).sum()) + lmbda * float(abs(codes).sum())
    print_json(
        **case, solver="spams", seconds=seconds_spams, ratio=seconds_spams / seconds,
        relative_excess=objective / solution.objective - 1,
    )  # fmt: skip


def penalties(D, shape, lmbda, radius):
    """Yield name and penalty, those to compare with the lasso."""
    spatial_shape = D.spatial_code_shape(shape)
    weights = np.linspace(0.5, 1.5, int(np.prod(spatial_shape))).reshape(1, *spatial_shape)
    yield "lasso", csc.L1(lmbda)
    yield "non-negative", csc.L1(lmbda, positive=True)
    yield "weights by position", csc.L1(lmbda, weights)
    yield "elastic net", csc.ElasticNet(lmbda, 0.1)
    if D.n_atoms % 2 == 0:
        yield "groups of two", csc.GroupL21(lmbda, 2)
        yield "sparse groups of two", csc.SparseGroupL21(lmbda / 2, 2)
    yield "l1 ball", csc.L1Ball(radius)


def compare_penalties(name, fraction, tol, radius_fraction):
    """Print seconds of each penalty, and how many times longer than the lasso it took."""
    (x, D), lasso = CASES[name](), None
    lmbda = fraction * csc.lmbda_max(x, D)
    codes = csc.sparse_code(x, D, lmbda, tol=tol).codes
    radius = radius_fraction * float(abs(codes).reshape(len(x), -1).sum(axis=1).max())
    for penalty_name, penalty in penalties(D, x.shape[2:], lmbda, radius):
        csc.solve(csc.Problem(x, D, penalty), max_iter=1)

        def solve(penalty=penalty):
            return csc.solve(csc.Problem(x, D, penalty), tol=tol)

        seconds, solution = best_cpu_time(solve, REPEATS)
        lasso = lasso or seconds
        print_json(
            bench="corners", case=name, fraction=fraction, penalty=penalty_name, seconds=seconds,
            times_lasso=seconds / lasso, relative_gap=solution.relative_gap,
        )  # fmt: skip


def random_sums():
    """Return 600 random sums of the 2000 samples of a series, measured atoms, 10 of 64 samples."""
    (x, atoms), rng = series(2000), np.random.default_rng(0)
    A = rng.standard_normal((600, 2000)) / 600**0.5
    return x.reshape(1, -1) @ A.T, csc.MeasuredDictionary(csc.Dictionary(atoms), A, (2000,))


def blurred_photograph():
    """Return 64x64 pixels blurred by a Gaussian, and as many blurred atoms of 8x8."""
    shape, x = (64, 64), photograph(128)[..., :64, :64].astype("float64")

    def blur(v):
        return gaussian_filter(v.reshape(shape), 1.0, mode="constant").ravel()

    A = LinearOperator((x.size, x.size), matvec=blur, rmatvec=blur, dtype="float64")
    atoms = learned_atoms(64, 8).astype("float64")
    return blur(x)[None], csc.MeasuredDictionary(csc.Dictionary(atoms), A, shape)


def measured_penalties(y, D, fraction, radius_fraction):
    """Yield name and penalty, those to compare with the lasso on measured signals."""
    lmbda = fraction * csc.lmbda_max(y, D)
    codes = csc.solve(csc.Problem(y, D, csc.L1(lmbda))).codes
    yield "lasso", csc.L1(lmbda)
    yield "groups of two", csc.GroupL21(lmbda, 2)
    yield "sparse groups of two", csc.SparseGroupL21(lmbda / 2, 2)
    yield "l1 ball", csc.L1Ball(radius_fraction * float(abs(codes).sum()))


def compare_measured(make, fraction, tol, radius_fraction):
    """Print seconds of the working set, and of the lasso also those of some steps of FISTA, on measured signals."""
    y, D = make()
    for name, penalty in measured_penalties(y, D, fraction, radius_fraction):
        problem = csc.Problem(y, D, penalty)
        csc.solve(problem, max_iter=1)  # compiles
        solvers = ((None, 10_000), (csc.solvers.FISTA(), FISTA_STEPS))
        for solver, steps in solvers if name == "lasso" else solvers[:1]:
            solve = partial(csc.solve, problem, solver, tol=tol, max_iter=steps)
            seconds, solution = best_cpu_time(solve, 1 if solver else REPEATS)
            print_json(
                bench="corners", case=make.__name__, fraction=fraction, penalty=name, solver=repr(solver),
                seconds=seconds, relative_gap=solution.relative_gap, steps=solution.n_iter,
                objective=solution.objective, nonzero=int((solution.codes != 0).sum()),
            )  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench corners", description=__doc__)
    parser.add_argument(
        "--fractions", type=number(0, 1), nargs="+", default=[0.1, 0.01, 0.001],
        help="lmbda as fractions of lmbda_max (0.1, 0.01, 0.001)",
    )  # fmt: skip
    parser.add_argument("--tol", type=number(0, 1), default=1e-4)
    parser.add_argument(
        "--cases",
        type=integer(0, len(CASES) - 1),
        nargs="+",
        default=[0, 1, 2, 3, 4],
        help="of the table (0-4)",
    )
    parser.add_argument("--penalties", action="store_true", help="compare penalties, not solvers")
    parser.add_argument(
        "--radius",
        type=number(0),
        default=0.5,
        help="of the l1 ball, in units of the l1 norm of the lasso's codes (0.5)",
    )
    parser.add_argument("--measured", action="store_true", help="measured signals")
    args = parser.parse_args(argv)
    compare = compare_lasso
    if args.penalties:
        compare = partial(compare_penalties, radius_fraction=args.radius)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        if args.measured:
            for make, fraction in product((random_sums, blurred_photograph), args.fractions):
                compare_measured(make, fraction, args.tol, args.radius)
            return
        for name in (list(CASES)[i] for i in args.cases):
            for fraction in args.fractions:
                compare(name, fraction, args.tol)
    finally:
        numba.set_num_threads(threads)
