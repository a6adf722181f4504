"""How time and memory grow with pixels, atoms, their side, and 1 / lmbda: csc and sporco.

A learned dictionary and a high-passed photograph, as in ``coding``; one of the four numbers changes and the
others stay. Time is processor time on one thread, so that other work on the machine changes it little, until the
objective lies a relative 1e-4 above the lowest one of all runs. csc runs with tolerance after tolerance, each from a
cold start; its last one, ``--tol``, is the reference of the others. Objectives are computed in
float64 by NumPy code that uses no library, with the clock stopped. Each run has its own process, whose largest
resident memory is ``peak_gb``; ``start_gb`` is that before the solver starts, with signal, atoms and compiled code.
A peer that has not reached the objective after ``--most`` seconds is drawn as a triangle at that time, and not run
at the next, harder value. Memory of less than 5 MB beyond the start is left out.

One JSON line for each run; ``--lines FILE`` also adds them to a file, and ``--draw FILE ...`` draws such files without
measuring anything.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np

import csc
from demos._arguments import existing_file, integer, number, output_folder
from demos._figures import new_figure, save_figure
from demos.bench import peers
from demos.bench.coding import objective_of
from demos.bench.report import print_json
from demos.bench.signals import learned_atoms, photograph

GOAL = 1e-4  # relative suboptimality
MIN_POINTS = 3  # of a fitted slope
MIN_GB = 0.005  # less cannot be told from the memory that the warm-up left free
WARM_UP_SIDE = 64  # pixels
MIN_SPAN = 100.0  # factor between the ends of an axis of seconds or memory
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Case(NamedTuple):
    """One problem."""

    size: int  # of the square photograph
    atoms: int
    side: int
    fraction: float  # lmbda / lmbda_max


class Axis(NamedTuple):
    """What changes along one axis of the figure."""

    field: str  # of `Case`
    label: str
    number: object  # of a case, on this axis


AXES = {
    "pixels": Axis("size", "pixels", lambda case: case.size**2),
    "atoms": Axis("atoms", "atoms", lambda case: case.atoms),
    "side": Axis("side", "side of the atoms", lambda case: case.side),
    "lmbda": Axis("fraction", "lmbda_max / lmbda", lambda case: 1 / case.fraction),
}
PEERS = {"sporco ADMM": peers.sporco_admm, "sporco PGM": peers.sporco_pgm}


@lru_cache(maxsize=2)
def dictionary(n_atoms, side):
    return learned_atoms(n_atoms, side)


def problem(case):
    """Return signal, atoms and lmbda, all in float32."""
    x, atoms = photograph(case.size), dictionary(case.atoms, case.side)
    return x, atoms, case.fraction * csc.lmbda_max(x, csc.Dictionary(atoms, "circular"))


def reset_peak():
    """Forget earlier peaks of the resident memory, where Linux allows it; return the peak."""
    if os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")
    return peers.resident_peak()


def objective_of_sparse(x, atoms, lmbda, codes):
    """Return the lasso objective of codes ``(1, K, *S)`` in COO form: the sum of their atoms.

    In float64 and without a transform: `objective_of` takes two FFTs of the picture for each atom.
    """
    _, atom, *place = codes.coords
    values, shape = codes.data.astype("float64"), x.shape[2:]
    residual = x[0].astype("float64")
    for sample in np.ndindex(atoms.shape[2:]):
        moved = [(p + i) % n for p, i, n in zip(place, sample, shape, strict=True)]
        where = np.ravel_multi_index(moved, shape)
        for c in range(len(residual)):
            weights = values * atoms[atom, c, *sample]
            residual[c] -= np.bincount(where, weights, residual[c].size).reshape(shape)
    return 0.5 * float((residual**2).sum()) + lmbda * float(abs(values).sum())


def run_csc(x, atoms, lmbda, tol):
    """Return ``(seconds, objective, peak)`` for each tolerance, and the memory before the first."""
    use_one_thread()
    csc.sparse_code(crop(x), atoms, csc.Relative(0.1), mode="circular")  # compiles
    start, runs = reset_peak(), []
    for some_tol in (*(t for t in peers.TOLERANCES if t > tol), tol):
        begin = process_time()
        solution = csc.sparse_code(x, atoms, lmbda, mode="circular", tol=some_tol)
        runs.append((process_time() - begin, solution, peers.resident_peak()))
        if solution.relative_gap <= tol:
            break
    coo = ((t, solution.sparse_codes.tocoo(), peak) for t, solution, peak in runs)
    return [(t, objective_of_sparse(x, atoms, lmbda, z), peak) for t, z, peak in coo], start


def run_peer(x, atoms, lmbda, name, stop):
    """Return ``(seconds, objective, peak)`` of a peer up to an objective, and the memory before."""
    use_one_thread()
    warnings.simplefilter("ignore")  # deprecations inside the other libraries
    goal, most = stop

    def run(signal, seconds):
        evaluate = partial(evaluate_dense, signal, atoms, lmbda)
        monitor = peers.Monitor(evaluate, seconds, clock=process_time, goal=goal)
        PEERS[name](signal, atoms, lmbda, monitor)
        return monitor

    run(crop(x), 0)  # imports
    start = reset_peak()
    peak = run(x, 0).peak  # plans of the FFT; its time is not counted
    return [(t, value, peak) for t, value in run(x, most).points], start


def evaluate_dense(x, atoms, lmbda, z):
    return objective_of(x, atoms, lmbda, z[0])


def crop(x):
    return np.ascontiguousarray(x[..., :WARM_UP_SIDE, :WARM_UP_SIDE])


def use_one_thread():
    import numba

    numba.set_num_threads(1)
    if importlib.util.find_spec("sporco"):
        import sporco.fft

        sporco.fft.pyfftw_threads = 1


def in_own_process(function, *arguments):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(case, args, left_out):
    """Yield one line for csc and for each peer; ``left_out`` are peers not to run."""
    of = problem(case)
    runs, start = in_own_process(run_csc, *of, args.tol)
    lowest = min(value for _, value, _ in runs)
    goal = lowest * (1 + GOAL)
    yield line(case, "csc", runs, goal, start)
    for name in PEERS:
        if name in left_out or not any(part in name for part in args.peers):
            continue
        if importlib.util.find_spec("sporco") is None:
            print(f"{name} is left out: pip install sporco")
            continue
        runs, start = in_own_process(run_peer, *of, name, (goal, args.most))
        yield line(case, name, runs, goal, start)


def line(case, solver, runs, goal, start):
    """The figures of one solver: at the goal, or where its time ended."""
    reached = [run for run in runs if run[1] <= goal]
    seconds, value, peak = reached[0] if reached else runs[-1]
    return case._asdict() | {
        "solver": solver, "reached": bool(reached), "seconds": seconds,
        "relative_suboptimality": value / goal * (1 + GOAL) - 1,
        "start_gb": start / 1e9, "peak_gb": peak / 1e9,
    }  # fmt: skip


def measure_axis(name, args, known):
    """Lines of all values along an axis, from the easiest case to the hardest."""
    axis, lines, left_out = AXES[name], [], set()
    base = Case(args.base, 64, 8, 0.1)
    for value in getattr(args, name):
        case = base._replace(**{axis.field: value})
        if case not in known:
            known[case] = list(measure(case, args, left_out))
            for one in known[case]:
                print_json(bench="scaling", **one)
        for one in known[case]:
            if one["solver"] not in left_out:
                lines.append({"axis": name} | one)
        left_out |= {one["solver"] for one in known[case] if not one["reached"]}
    return lines


def curves(lines):
    """Return ``{axis: {solver: [(x, line), ...]}}``, sorted."""
    found = {}
    for one in lines:
        case = Case(*(one[name] for name in Case._fields))
        curve = found.setdefault(one["axis"], {}).setdefault(one["solver"], {})
        curve[AXES[one["axis"]].number(case)] = one
    return {
        axis: {solver: sorted(curve.items()) for solver, curve in solvers.items()}
        for axis, solvers in found.items()
    }


def amounts(points, what):
    """Return the numbers of an axis and the seconds, or the gigabytes beyond the start, at them."""
    if what == "seconds":
        done = [(x, one["seconds"]) for x, one in points if one["reached"]]
    else:
        used = [(x, one["peak_gb"] - one["start_gb"]) for x, one in points]
        done = [(x, gb) for x, gb in used if gb >= MIN_GB]
    return np.array([x for x, _ in done]), np.array([value for _, value in done])


def slope(points, what):
    """Return the exponent p of the fit ``a x^p``; None of too few points."""
    numbers, values = amounts(points, what)
    if len(numbers) < MIN_POINTS:
        return None
    return float(np.polyfit(np.log(numbers), np.log(values), 1)[0])


def draw(lines):
    """Draw seconds (top) and memory (bottom) against each axis; triangles: not reached by then."""
    found = curves(lines)
    figure = new_figure(4 * len(found), 7)
    panels = figure.subplots(2, len(found), squeeze=False, sharex="col")
    for column, (name, solvers) in zip(panels.T, found.items(), strict=True):
        for axes, what in zip(column, ("seconds", "memory"), strict=True):
            for number_, solver in enumerate(("csc", *PEERS)):
                points = solvers.get(solver, [])
                numbers, values = amounts(points, what)
                power = slope(points, what)
                label = solver if power is None else f"{solver}, slope {power:.2f}"
                colour = f"C{number_}"
                axes.loglog(numbers, values, "o-", ms=4, color=colour, label=label)
                ended = [(x, one["seconds"]) for x, one in points if not one["reached"]]
                if ended and what == "seconds":
                    axes.loglog(*zip(*ended, strict=True), "^", ms=7, mfc="none", color=colour)
            low, high = axes.get_ylim()
            widen = max(1.0, np.sqrt(MIN_SPAN * low / high))
            axes.set_ylim(low / widen, high * widen)  # numbers that hardly differ look alike
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
        column[0].set_ylabel("processor seconds")
        column[1].set(ylabel="gigabytes beyond the start", xlabel=AXES[name].label)
    return figure


def print_slopes(lines):
    """Print a table of the exponents."""
    print("| axis | solver | range reached | exponent of seconds | exponent of memory |")
    print("| --- | --- | --- | --- | --- |")
    for name, solvers in curves(lines).items():
        for solver, points in solvers.items():
            numbers, _ = amounts(points, "seconds")
            span = f"{numbers[0]:.4g} to {numbers[-1]:.4g}" if len(numbers) else "none"
            powers = (slope(points, what) for what in ("seconds", "memory"))
            cells = ["" if p is None else f"{p:.2f}" for p in powers]
            print(f"| {AXES[name].label} | {solver} | {span} | {cells[0]} | {cells[1]} |")


def arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench scaling", description=__doc__)
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--base", type=integer(64), default=128, help="size where it stays (128)")
    parser.add_argument(
        "--pixels", type=integer(64), nargs="+", default=[128, 256, 512, 1024],
        help="sizes of the square photograph, up to 8192 (128, 256, 512, 1024)",
    )  # fmt: skip
    parser.add_argument("--atoms", type=integer(1), nargs="+", default=[16, 64, 256, 1024])
    parser.add_argument("--side", type=integer(2), nargs="+", default=[5, 8, 16, 32])
    parser.add_argument(
        "--lmbda", type=number(0, 1), nargs="+", default=[0.3, 0.1, 0.03, 0.01],
        help="as fractions of lmbda_max (0.3, 0.1, 0.03, 0.01)",
    )  # fmt: skip
    parser.add_argument("--tol", type=number(0, GOAL), default=1e-5, help="of the reference (1e-5)")
    parser.add_argument("--most", type=number(0), default=8, help="seconds of a peer (8)")
    parser.add_argument("--peers", nargs="*", default=["ADMM", "PGM"], help="parts of their names")
    parser.add_argument("--lines", type=Path, help="file to which the JSON lines are added")
    parser.add_argument("--draw", type=existing_file, nargs="+", help="files of JSON lines")
    parser.add_argument("--out", type=output_folder, default=Path("out"))
    return parser.parse_args(argv)


def main(argv):
    args = arguments(argv)
    if args.draw:
        texts = [text for path in args.draw for text in path.read_text().splitlines()]
        lines = [json.loads(text) for text in texts if text.startswith("{")]
    else:
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # of the processes that measure
        known, lines = {}, []
        for name in args.axes:
            lines += measure_axis(name, args, known)
    if args.lines and not args.draw:
        with args.lines.open("a") as file:
            file.writelines(json.dumps(one) + "\n" for one in lines)
    print_slopes(lines)
    save_figure(draw(lines), args.out, "bench_scaling")
    print(f"figure:  {args.out / 'bench_scaling'}.png")
