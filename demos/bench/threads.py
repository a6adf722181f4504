"""Time with one thread and with more: how well the kernels use the cores.

Each case runs with 1, 2, 4 … threads in turn in one process; the times are the shortest wall-clock times
of several rounds. Codes must not depend on the number of threads. Each line also says how much
independent work the cores do in the same time on that many threads ("limits"): a virtual machine
often gives less than the cores that it shows.
"""

import argparse
import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numba
import numpy as np

import csc
from demos._arguments import integer
from demos.bench.multilayer import digits_like, one_image
from demos.bench.report import best_time, print_json
from demos.bench.signals import high_passed_photographs, learned_atoms, photograph

TOLERANCE = 1e-4
LMBDA_FRACTION = 0.05  # of lambda_max
N_PATCHES = 50_000
HASHES = 100_000  # about 50 ms


def solve_photograph(size):
    x, D = photograph(size), csc.Dictionary(learned_atoms(64, 8))
    problem = csc.Problem(x, D, csc.L1(csc.Relative(LMBDA_FRACTION)))
    return lambda: csc.solve(problem, tol=TOLERANCE).codes


def multilayer_step(layered):
    x, D = layered
    problem = csc.MultiLayerProblem(x, D, [csc.L1(csc.Relative(LMBDA_FRACTION))] * len(D))
    solver = csc.solvers.MLFISTA()
    state = solver.init(problem, problem.zeros())
    for _ in range(3):
        state = solver.step(problem, state)
    return lambda: solver.step(problem, state).z[-1]


def fista_step(size):
    x, D = photograph(size), csc.Dictionary(learned_atoms(64, 8))
    problem = csc.Problem(x, D, csc.L1(csc.Relative(LMBDA_FRACTION)))
    solver = csc.solvers.FISTA()
    state = solver.init(problem, problem.zeros())
    for _ in range(3):
        state = solver.step(problem, state)
    return lambda: solver.step(problem, state).z


def code_patches():
    x = csc.images.extract_patches(high_passed_photographs(), (8, 8), n=N_PATCHES, rng=0)
    x = x.astype("float32") / x.std()
    D = csc.Dictionary(learned_atoms(64, 8))
    lmbda = LMBDA_FRACTION * csc.lmbda_max(x, D)
    return lambda: csc.sparse_code(x, D, lmbda).codes


def cases():
    rng = np.random.default_rng(0)
    return {
        "photograph 256x256, 64 atoms 8x8, gap 1e-4": partial(solve_photograph, 256),
        "photograph 512x512, 64 atoms 8x8, gap 1e-4": partial(solve_photograph, 512),
        "photograph 1024x1024, 64 atoms 8x8, gap 1e-4": partial(solve_photograph, 1024),
        "FISTA step, 256x256, 64 atoms 8x8": partial(fista_step, 256),
        "ML-FISTA step, 128 digits, 3 dense layers": lambda: multilayer_step(digits_like(rng)),
        "ML-FISTA step, 256x256, 2 layers": lambda: multilayer_step(one_image(rng)),
        f"{N_PATCHES} patches 8x8, 64 atoms, gap 1e-4": code_patches,
    }


def independent_work(n):
    """Let n threads work at the same time, each on as much, which needs no memory and no GIL."""
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(lambda _: hashlib.pbkdf2_hmac("sha256", b"", b"", HASHES), range(n)))


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench threads", description=__doc__)
    parser.add_argument("--rounds", type=integer(1), default=5, help="of each number (5)")
    parser.add_argument("--only", default="", help="cases whose name contains this (all)")
    args = parser.parse_args(argv)
    most = numba.config.NUMBA_NUM_THREADS
    numbers = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= most]
    for name, make in cases().items():
        if args.only not in name:
            continue
        run, codes = make(), {}
        seconds, independent = (dict.fromkeys(numbers, float("inf")) for _ in range(2))
        run()  # compiles and plans
        for _ in range(args.rounds):
            for n in numbers:
                numba.set_num_threads(n)
                elapsed, codes[n] = best_time(run, 1)
                seconds[n] = min(seconds[n], elapsed)
                independent[n] = min(independent[n], best_time(partial(independent_work, n), 1)[0])
                assert np.array_equal(codes[n], codes[1]), f"{name}: {n} threads change the codes"
        speedups = {n: round(seconds[1] / t, 2) for n, t in seconds.items()}
        limits = {n: round(n * independent[1] / t, 2) for n, t in independent.items()}
        print_json(bench="threads", case=name, seconds=seconds, speedups=speedups, limits=limits)
