"""Convolutional sparse coding of one signal: csc, sporco, scico, dicodile and alphacsc.

All solvers of a case solve the same problem: with circular borders (sporco and scico), or with atoms
inside the signal (dicodile; alphacsc with codes >= 0). Each runs in a separate process, after a
warm-up, with the settings its authors document, for ``--patience`` times as long as csc needed (at
least 5 s). The codes of several iterations are evaluated in float64 by NumPy code that uses no
library; the time of the evaluation is not counted. ``relative_suboptimality`` compares the
objective with the lowest one of all solvers, ``peak_gb`` is the largest resident memory of the
process, ``start_gb`` that before the solver starts.
"""

import argparse
import importlib.util
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

import csc
from demos._arguments import integer, number, output_folder
from demos._figures import new_figure, save_results
from demos.bench import peers
from demos.bench.report import print_json
from demos.bench.signals import learned_atoms, photograph, series

GOAL = 1e-4  # relative suboptimality
MIN_TIME_LIMIT = 5.0  # seconds
# Size, number of atoms, their side, colour
GRID = [(size, 64, 8, False) for size in (128, 256, 512, 1024)]
GRID += [(256, 36, 12, False), (256, 96, 16, False), (256, 64, 8, True)]


class Case(NamedTuple):
    """One problem, and its solvers."""

    name: str
    x: np.ndarray
    atoms: np.ndarray
    lmbda: float
    solvers: dict
    circular: bool


def objective(case, z):
    """Return the lasso objective of dense codes in float64."""
    codes = z[0]
    if not case.circular:  # with zeros: atoms inside do not wrap around
        sizes = zip(case.x.shape[2:], codes.shape[1:], strict=True)
        codes = np.pad(codes, [(0, 0), *((0, S - v) for S, v in sizes)])
    return objective_of(case.x, case.atoms, case.lmbda, codes)


def objective_of(x, atoms, lmbda, planes):
    """Return the lasso objective in float64, by FFT, one atom at a time.

    ``planes`` has the codes of each atom, of the shape of the signal.
    """
    axes = tuple(range(1, x.ndim - 1))
    spatial_shape, fit, penalty = x.shape[2:], 0, 0.0
    for atom, codes in zip(atoms.astype("float64"), planes, strict=True):
        penalty += lmbda * float(abs(codes).sum(dtype="float64"))
        fit = fit + np.fft.rfftn(atom, spatial_shape, axes=axes) * np.fft.rfftn(
            codes[None].astype("float64"), axes=axes
        )
    residual = x[0] - np.fft.irfftn(fit, spatial_shape, axes=axes)
    return 0.5 * float((residual**2).sum()) + penalty


def run(case, solver, max_seconds):
    """Return seconds and objectives of one solver, and its resident memory before and during."""
    warnings.simplefilter("ignore")  # deprecations inside the other libraries
    start_memory, monitors = peers.resident_peak(), []
    for seconds in (0, max_seconds):  # first a warm-up: compilation, plans, thread pools
        monitors.append(peers.Monitor(lambda z: objective(case, z), seconds))
        solver(case.x, case.atoms, case.lmbda, monitors[-1])
    warm_up, timed = monitors
    return timed.points, start_memory, warm_up.peak  # before the evaluations allocate memory


def compare(case, args):
    """Run all solvers of a case, print one line for each, and return their curves."""
    curves, max_seconds = {}, args.most
    for name, (package, solver) in case.solvers.items():
        if name != "csc" and not any(peer in name for peer in args.peers):
            continue
        if importlib.util.find_spec(package) is None:
            print(f"{name} is left out: pip install {package}")
            continue
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            curves[name] = pool.submit(run, case, solver, max_seconds).result()
        if name == "csc":
            points = curves[name][0]
            seconds = seconds_to_goal(points, min(value for _, value in points))
            max_seconds = min(args.most, max(MIN_TIME_LIMIT, args.patience * seconds))
    lowest = min(value for points, *_ in curves.values() for _, value in points)
    goals = {name: seconds_to_goal(points, lowest) for name, (points, *_) in curves.items()}
    for name, (points, start, peak) in curves.items():
        print_json(
            bench="coding", case=case.name, solver=name, seconds_to_goal=goals[name],
            ratio=goals[name] / goals["csc"], start_gb=start / 1e9, peak_gb=peak / 1e9,
            seconds=[t for t, _ in points], relative_suboptimality=[o / lowest - 1 for _, o in points],
        )  # fmt: skip
    for name, seconds in goals.items():
        result = f"{seconds:.3g} s, {seconds / goals['csc']:.1f} x csc"
        not_reached = f"not reached in {curves[name][0][-1][0]:.3g} s"
        print(f"{case.name}: {name} to {GOAL:.0e}: {not_reached if np.isinf(seconds) else result}")
    return {n: [(t, o / lowest - 1) for t, o in points] for n, (points, *_) in curves.items()}


def seconds_to_goal(points, lowest):
    """Return the seconds until the relative suboptimality is GOAL; inf if it is not reached."""
    return min((t for t, value in points if value / lowest - 1 <= GOAL), default=np.inf)


def image(size, fraction, kind, *, circular=True):
    """Return the case of a photograph and learned atoms."""
    n_atoms, side, colour = kind
    x, atoms = photograph(size, colour=colour), learned_atoms(n_atoms, side, colour=colour)
    mode, solvers = ("circular", peers.IMAGES) if circular else ("full", peers.INSIDE)
    if colour:
        solvers = {name: solvers[name] for name in solvers if name != "scico ADMM"}  # grey only
    lmbda = fraction * csc.lmbda_max(x, csc.Dictionary(atoms, mode))
    channels, inside = " RGB" * colour, ", inside" * (not circular)
    name = f"{size}x{size}{channels}, {n_atoms} atoms {side}x{side}{inside}, {fraction} lmbda_max"
    return Case(name, x, atoms, lmbda, solvers, circular)


def cases(args):
    """Yield the requested problems."""
    kind = args.atoms, args.side, args.colour
    for fraction in args.fractions:
        grid = [(size, *kind) for size in args.sizes]
        for size, *kind in GRID if args.grid else grid:
            yield image(size, fraction, kind)
        if args.inside:
            yield image(args.inside, fraction, (args.atoms, args.side, False), circular=False)
        if args.length:
            x, atoms = series(args.length)
            lmbda = fraction * csc.lmbda_max(x, csc.Dictionary(atoms))
            name = f"1-D, {args.length} samples, 10 atoms of 64, {fraction} lmbda_max"
            yield Case(name, x, atoms, lmbda, peers.SERIES, circular=False)


def draw(curves):
    """Draw relative suboptimality against time, one panel for each case."""
    rows = -(-len(curves) // 3)
    figure = new_figure(15, 4 * rows)
    panels = figure.subplots(rows, 3).flat
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    for axes, (name, lines) in zip(panels, curves.items(), strict=False):
        for solver, points in lines.items():
            seconds, suboptimality = np.array(points).T
            axes.loglog(seconds, np.maximum(suboptimality, 1e-8), "o-", ms=3, label=solver)
        axes.axhline(GOAL, color="0.7", lw=1)
        axes.set(title=name, xlabel="seconds", ylabel="relative suboptimality")
        axes.legend()
    return figure


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench coding", description=__doc__)
    parser.add_argument("--sizes", type=integer(1), nargs="*", default=[256, 512])
    parser.add_argument(
        "--fractions",
        type=number(0, 1),
        nargs="+",
        default=[0.05],
        help="lmbda as fractions of lmbda_max (0.05)",
    )
    parser.add_argument("--atoms", type=integer(1), default=64)
    parser.add_argument("--side", type=integer(1), default=8)
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--grid", action="store_true", help="the sizes and atoms of the docs")
    parser.add_argument(
        "--inside",
        type=integer(0),
        default=0,
        help="size of an image compared with dicodile; 0: none",
    )
    parser.add_argument(
        "--length", type=integer(0), default=20_000, help="samples of the 1-D signal; 0: none"
    )
    parser.add_argument(
        "--patience", type=number(0), default=100, help="maximum time of peers / time of csc (100)"
    )
    parser.add_argument(
        "--most", type=number(0), default=300, help="maximum seconds of a solver (300)"
    )
    parser.add_argument(
        "--peers", nargs="*", default=[""], help="parts of the names of peers (all)"
    )
    parser.add_argument("--out", type=output_folder, default=Path("out"))
    args, curves = parser.parse_args(argv), {}
    for case in cases(args):
        curves[case.name] = compare(case, args)
        save_results(draw(curves), curves, args.out, "bench_coding", n_colours=64)
