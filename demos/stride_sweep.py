"""Gabor shares of strides: it is full shift-invariance, not convolution, that costs Gabor functions.

Convolutional learning gives fewer Gabor-like atoms than learning from patches (`demos.learn_conv`). Atoms
that may be at every pixel need not represent position, so that few are left for other shapes. If
positions are ``stride`` pixels apart, each structure needs atoms for ``stride^2`` positions, as in patches;
the learner is the same. So the number of atoms grows with ``stride^2``: then the number of codes for each
pixel is equal. A last run has half as many atoms at stride 4.

The same windows of the whitened photographs, lambda and passes for all. With ``--hann`` atoms are a Hann
window times an array of norm at most 1 (`csc.constraints.TaperedBall`): they are not cut, and structures
larger than the window are divided between atoms. The null models are then seen through this window, too.
Writes ``stride_sweep.png`` and ``stride_sweep.json``.
"""

import argparse
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
from scipy.signal.windows import hann

import csc
from demos._arguments import integer, number, output_folder, require_at_most, shortest_side
from demos._field_shares import COLUMNS, cells, shares
from demos._figures import new_figure, save_results

SETTINGS = ((1, 8), (2, 8), (4, 8), (4, 4))  # stride, and atoms divided by stride^2
F0, VARIANCE, BORDER = 0.4, 0.1, 4  # of the whitening, as in `demos.v1_filters`
N_SHOWN = 64


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.stride_sweep", description=__doc__)
    parser.add_argument(
        "--side", type=integer(3), default=12, help="side of an atom in pixels (12)"
    )
    parser.add_argument("--window", type=integer(16), default=64, help="side of a window (64)")
    parser.add_argument("--windows", type=integer(1), default=800, help="number of windows (800)")
    parser.add_argument("--passes", type=integer(1), default=2, help="passes over the windows (2)")
    parser.add_argument("--hann", action="store_true", help="atoms under a Hann window")
    parser.add_argument("--lmbda", type=number(0), default=0.5, help="weight of the penalty (0.5)")
    parser.add_argument(
        "--seeds", type=integer(0, 2**32 - 1), nargs="+", default=[0],
        help="atoms of all seeds are counted together (0)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    room = shortest_side() - 2 * BORDER
    require_at_most(parser, args, "window", room, "the shortest side of a photograph")
    require_at_most(parser, args, "side", args.window, "the side of the window")
    return args


def hann_window(side):
    """Hann window of a square, 0 at its border."""
    return np.outer(hann(side), hann(side))


def learn(whitened, stride, n_atoms, seed, args):
    """A learner of one stride, from random windows."""
    windows = csc.images.extract_patches(
        whitened, (args.window, args.window), n=args.windows, border=BORDER, rng=seed
    )
    ball = csc.constraints.UnitBall()
    if args.hann:
        ball = csc.constraints.TaperedBall(window=hann_window(args.side))
    learner = csc.DictionaryLearning(
        n_atoms, (args.side, args.side), args.lmbda, stride=stride, constraint=ball,
        batch_size=4, forgetting=3, max_iter=args.passes, tol=0, random_state=seed,
    )  # fmt: skip
    return learner.fit(windows.astype("float32"))


def analyse(atoms, args):
    """Fits of the atoms and of null models; under a window both are seen through it."""
    window = None
    if args.hann:
        window = hann_window(args.side)
        atoms = np.divide(atoms, window, out=np.zeros_like(atoms), where=window > 0)
    whitening = partial(csc.images.whiten, f0=F0)
    return csc.analysis.receptive_fields.analyse(
        atoms, rng=args.seeds[0], whitening=whitening, aperture=window
    )


def one_setting(whitened, stride, factor, args):
    """Results of one stride, and the atoms of all seeds."""
    start, n_atoms = process_time(), factor * stride**2
    learners = [learn(whitened, stride, n_atoms, seed, args) for seed in args.seeds]
    learned = process_time()
    atoms = np.concatenate([learner.atoms_ for learner in learners])
    report = analyse(atoms, args)
    seeds = np.array_split(np.arange(len(atoms)), len(learners))
    of_seeds = [csc.analysis.receptive_fields.summarise(report.learned[own]) for own in seeds]
    nonzero = [learner.history_[-1].n_nonzero / args.window**2 for learner in learners]
    return {
        "stride": stride,
        "atoms_of_a_seed": n_atoms,
        **shares(report),
        "gabor_share_of_atoms_by_seed": [own.n_gabor_like / own.n_atoms for own in of_seeds],
        "cut_share_by_seed": [own.cut_off for own in of_seeds],
        "nonzero_codes_per_pixel": float(np.mean(nonzero)),
        "cpu_seconds": {"learning": learned - start, "fits": process_time() - learned},
    }, atoms


def table(rows):
    """Lines of a Markdown table."""
    lines = [
        f"| stride | atoms of a seed | {COLUMNS} | codes per pixel | CPU s |",
        "| --- " * 11 + "|",
    ]
    for row in rows:
        own = [str(row["stride"]), str(row["atoms_of_a_seed"]), *cells(row)]
        own += [f"{row['nonzero_codes_per_pixel']:.3f}", f"{sum(row['cpu_seconds'].values()):.0f}"]
        lines.append(f"| {' | '.join(own)} |")
    return "\n".join(lines)


def draw(rows, sets):
    figure = new_figure(4 * len(rows), 4.4)
    for ax, row, atoms in zip(figure.subplots(1, len(rows)), rows, sets, strict=True):
        csc.plot.dictionary(atoms[:N_SHOWN], ax)
        ax.set_title(
            f"stride {row['stride']}, {row['atoms_of_a_seed']} atoms: "
            f"{row['gabor_share']:.0%} Gabor-like",
            fontsize=10,
        )
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    whitened = [csc.images.whiten(p.pixels, f0=F0, variance=VARIANCE) for p in csc.images.natural()]
    rows, sets = [], []
    for stride, factor in SETTINGS:
        row, atoms = one_setting(whitened, stride, factor, args)
        rows.append(row)
        sets.append(atoms)
        print(row, flush=True)
    print(table(rows))
    settings = {k: str(v) if k == "out" else v for k, v in vars(args).items()}
    save_results(draw(rows, sets), {"rows": rows, "settings": settings}, args.out, "stride_sweep")
    return rows


if __name__ == "__main__":
    main()
