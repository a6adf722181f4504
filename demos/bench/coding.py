"""Convolutional sparse coding of one signal beside sporco, scico, dicodile and alphacsc.

Every solver of a case solves the same problem: images wrap around (sporco's and scico's border), or
atoms lie inside (dicodile's and alphacsc's; the latter with codes >= 0). Each runs in a process of
its own, after a warm-up, with the settings its authors document, for ``--patience`` times as long
as csc needed (at least 5 s). Codes are judged on the way, while the clock stands still, in
float64 by NumPy lines that know no library. ``relative_excess`` is how far the objective lies above
the lowest one any solver found, ``peak_gb`` the largest resident memory of the process, of which
``start_gb`` was there before the solver began.
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
from demos.bench.report import show
from demos.bench.signals import learned_atoms, photograph, series

GOAL = 1e-4
GRID = [(size, 64, 8, False) for size in (128, 256, 512, 1024)]
GRID += [(256, 36, 12, False), (256, 96, 16, False), (256, 64, 8, True)]


class Case(NamedTuple):
    """One problem, and who solves it."""

    name: str
    x: np.ndarray
    atoms: np.ndarray
    lmbda: float
    solvers: dict
    wraps: bool


def objective(case, z):
    """Lasso objective in float64, by FFT, an atom at a time."""
    axes = tuple(range(1, case.x.ndim - 1))
    extents, fit = case.x.shape[2:], 0
    for k, atom in enumerate(case.atoms.astype("float64")):
        codes = z[0, k].astype("float64")
        if not case.wraps:  # mode "full" never reaches around
            codes = np.pad(codes, [(0, S - v) for S, v in zip(extents, codes.shape, strict=True)])
        fit = fit + np.fft.rfftn(atom, extents, axes=axes) * np.fft.rfftn(codes[None], axes=axes)
    residual = case.x[0] - np.fft.irfftn(fit, extents, axes=axes)
    return 0.5 * float((residual**2).sum()) + case.lmbda * float(abs(z).sum(dtype="float64"))


def run(case, solver, limit):
    """Seconds and objectives of one solver, and resident memory before and while it works."""
    warnings.simplefilter("ignore")  # the peers' own deprecations
    start, watches = peers.resident_peak(), []
    for seconds in (0, limit):  # first a warm-up: compilation, plans, thread pools
        watches.append(peers.Watch(lambda z: objective(case, z), seconds))
        solver(case.x, case.atoms, case.lmbda, watches[-1])
    return watches[1].points, start, watches[0].peak  # before judging took memory of its own


def race(case, args):
    """Run all solvers of a case, print a line each, and return their curves."""
    curves, limit = {}, args.most
    for name, (package, solver) in case.solvers.items():
        if name != "csc" and not any(peer in name for peer in args.peers):
            continue
        if importlib.util.find_spec(package) is None:
            print(f"{name} is left out: pip install {package}")
            continue
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            curves[name] = pool.submit(run, case, solver, limit).result()
        if name == "csc":
            own, lowest = curves[name][0], min(value for _, value in curves[name][0])
            limit = min(args.most, max(5.0, args.patience * seconds_to(own, lowest)))
    best = min(value for points, *_ in curves.values() for _, value in points)
    goals = {name: seconds_to(points, best) for name, (points, *_) in curves.items()}
    for name, (points, start, peak) in curves.items():
        show(
            bench="coding", case=case.name, solver=name, seconds_to_goal=goals[name],
            ratio=goals[name] / goals["csc"], start_gb=start / 1e9, peak_gb=peak / 1e9,
            seconds=[t for t, _ in points], relative_excess=[o / best - 1 for _, o in points],
        )  # fmt: skip
    for name, seconds in goals.items():
        tail = f"{seconds:.3g} s, {seconds / goals['csc']:.1f} x csc"
        late = f"not reached in {curves[name][0][-1][0]:.3g} s"
        print(f"{case.name}: {name} to {GOAL:.0e}: {late if np.isinf(seconds) else tail}")
    return {n: [(t, o / best - 1) for t, o in points] for n, (points, *_) in curves.items()}


def seconds_to(points, best):
    """Least seconds to a relative excess of GOAL; inf if never."""
    return min((t for t, value in points if value / best - 1 <= GOAL), default=np.inf)


def image(size, fraction, kind, *, wraps=True):
    """A photograph and learned atoms."""
    n_atoms, side, colour = kind
    x, atoms = photograph(size, colour=colour), learned_atoms(n_atoms, side, colour=colour)
    mode, solvers = ("circular", peers.IMAGES) if wraps else ("full", peers.INSIDE)
    if colour:
        solvers = {name: solvers[name] for name in solvers if name != "scico ADMM"}  # grey only
    lmbda = fraction * csc.lmbda_max(x, csc.Dictionary(atoms, mode))
    colours, inside = " RGB" * colour, ", inside" * (not wraps)
    name = f"{size}x{size}{colours}, {n_atoms} atoms {side}x{side}{inside}, {fraction} lmbda_max"
    return Case(name, x, atoms, lmbda, solvers, wraps)


def cases(args):
    """All problems asked for, one at a time."""
    kind = args.atoms, args.side, args.colour
    for fraction in args.fractions:
        grid = [(size, *kind) for size in args.sizes]
        for size, *kind in GRID if args.grid else grid:
            yield image(size, fraction, kind)
        if args.inside:
            yield image(args.inside, fraction, (args.atoms, args.side, False), wraps=False)
        if args.length:
            x, atoms = series(args.length)
            lmbda = fraction * csc.lmbda_max(x, csc.Dictionary(atoms))
            name = f"1-D, {args.length} samples, 10 atoms of 64, {fraction} lmbda_max"
            yield Case(name, x, atoms, lmbda, peers.SERIES, wraps=False)


def picture(curves):
    """Relative excess against time, an axis a case."""
    rows = -(-len(curves) // 3)
    figure = new_figure(15, 4 * rows)
    panels = figure.subplots(rows, 3).flat
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    for axes, (name, lines) in zip(panels, curves.items(), strict=False):
        for solver, points in lines.items():
            seconds, dual_infeasibility = np.array(points).T
            axes.loglog(seconds, np.maximum(dual_infeasibility, 1e-8), "o-", ms=3, label=solver)
        axes.axhline(GOAL, color="0.7", lw=1)
        axes.set(title=name, xlabel="seconds", ylabel="relative excess of the objective")
        axes.legend()
    return figure


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench coding", description=__doc__)
    parser.add_argument("--sizes", type=integer(1), nargs="*", default=[256, 512])
    parser.add_argument(
        "--fractions", type=number(0, 1), nargs="+", default=[0.05], help="of lmbda_max"
    )
    parser.add_argument("--atoms", type=integer(1), default=64)
    parser.add_argument("--side", type=integer(1), default=8)
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--grid", action="store_true", help="the sizes and atoms of the docs")
    parser.add_argument(
        "--inside", type=integer(0), default=0, help="size of an image beside dicodile"
    )
    parser.add_argument(
        "--length", type=integer(0), default=20_000, help="of the 1-D signal; 0: none"
    )
    parser.add_argument("--patience", type=number(0), default=100, help="peers' time over ours")
    parser.add_argument("--most", type=number(0), default=300, help="seconds of any solver")
    parser.add_argument("--peers", nargs="*", default=[""], help="parts of their names; all")
    parser.add_argument("--out", type=output_folder, default=Path("out"))
    args, curves = parser.parse_args(argv), {}
    for case in cases(args):
        curves[case.name] = race(case, args)
        save_results(picture(curves), curves, args.out, "bench_coding")
