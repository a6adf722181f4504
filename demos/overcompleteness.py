"""Overcompleteness: what becomes of the fields if there are ten times more atoms than pixels.

Atoms are learned from the same contrast-normalised patches of whitened photographs with 1.3, 5 and 10 times as many
atoms as a patch has pixels, at the same number of codes of a patch. Reported are the shares of Gabor-like
fields, of blobs and of fields cut by the border, the distance of their shapes to macaque V1, coverage,
and how well as many codes explain other patches. Each is given with its null, the phase-scrambled atoms.

Writes ``overcompleteness.png`` and ``overcompleteness.json``.
"""

import argparse
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np

import csc
from csc.analysis.receptive_fields import phase_scrambled
from demos._arguments import integer, number, output_folder, require_at_most, shortest_side
from demos._field_shares import COLUMNS, cells, shares
from demos._figures import new_figure, save_results

F0, VARIANCE, BORDER = 0.4, 0.1, 4  # of the whitening, as in `demos.v1_filters`
N_HELD_OUT = 5_000
PENALTIES = {"l0": csc.L0, "l1": csc.L1}
N_SHOWN = 100


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.overcompleteness", description=__doc__)
    parser.add_argument(
        "--factors", type=number(0), nargs="+", default=[1.3, 5.0, 10.0],
        help="atoms divided by pixels of a patch (1.3 5 10)",
    )  # fmt: skip
    parser.add_argument(
        "--side", type=integer(3), default=10, help="side of a patch in pixels (10)"
    )
    parser.add_argument("--patches", type=integer(1), default=50_000, help="patches (50000)")
    parser.add_argument("--passes", type=integer(1), default=6, help="passes over the patches (6)")
    parser.add_argument("--penalty", choices=PENALTIES, default="l0", help="of the codes (l0)")
    parser.add_argument("--codes", type=number(0), default=3.0, help="of a patch, on average (3)")
    parser.add_argument(
        "--fitted",
        type=integer(3),
        default=250,
        help="largest number of atoms that are fitted (250)",
    )
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="random seed (0)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    room = shortest_side() - 2 * BORDER
    require_at_most(parser, args, "side", room, "the shortest side of a photograph")
    return args


def normalised_patches(args, n, seed):
    """Patches (n, 1, side, side) of equal contrast."""
    whitened = [csc.images.whiten(p.pixels, f0=F0, variance=VARIANCE) for p in csc.images.natural()]
    X = csc.images.extract_patches(whitened, (args.side,) * 2, n=n, border=BORDER, rng=seed)
    return csc.images.patch_contrast_normalise(X, variance=VARIANCE)


def learn(X, n_atoms, args):
    penalty = PENALTIES[args.penalty](csc.TargetSparsity(args.codes))
    learner = csc.DictionaryLearning(
        n_atoms, (args.side,) * 2, penalty=penalty, max_iter=args.passes, tol=0,
        random_state=args.seed,
    )  # fmt: skip
    return learner.fit(X)


def unexplained(X, atoms, n_codes):
    """Share of the energy that the ``n_codes`` codes of matching pursuit leave."""
    problem = csc.Problem(X, csc.Dictionary(atoms), csc.L0(0.0))
    z = csc.solve(problem, csc.solvers.OMP(n_codes)).z
    return float((problem.residual(z) ** 2).sum(dtype="float64") / (X**2).sum(dtype="float64"))


def one_factor(X, held_out, factor, args):
    """Results of one overcompleteness, and the atoms."""
    start, n_atoms = process_time(), round(factor * args.side**2)
    learner = learn(X, n_atoms, args)
    learned, rng = process_time(), np.random.default_rng(args.seed)
    sample = learner.atoms_
    if n_atoms > args.fitted:
        sample = sample[rng.choice(n_atoms, args.fitted, replace=False)]
    report = csc.analysis.receptive_fields.analyse(
        sample, rng=rng, whitening=partial(csc.images.whiten, f0=F0)
    )
    n_codes = max(1, round(args.codes))
    scrambled = csc.constraints.UnitSphere().project(phase_scrambled(learner.atoms_, rng))
    return {
        "factor": factor,
        "n_learned": n_atoms,
        **shares(report),
        "unexplained": unexplained(held_out, learner.atoms_, n_codes),
        "null_unexplained": unexplained(held_out, scrambled, n_codes),
        "codes_of_a_patch": learner.history_[-1].n_nonzero,
        "cpu_seconds": {"learning": learned - start, "fits": process_time() - learned},
    }, sample[report.fit.r2.argsort()[::-1]]


def table(rows):
    """Lines of a Markdown table."""
    lines = [
        f"| atoms / pixels | atoms | {COLUMNS} | unexplained | null | CPU s |",
        "| --- " * 12 + "|",
    ]
    for row in rows:
        own = [f"{row['factor']:g}", str(row["n_learned"]), *cells(row)]
        own += [f"{row[k]:.0%}" for k in ("unexplained", "null_unexplained")]
        own.append(f"{sum(row['cpu_seconds'].values()):.0f}")
        lines.append(f"| {' | '.join(own)} |")
    return "\n".join(lines)


def draw(rows, sets):
    figure = new_figure(4.5 * len(rows), 4.9)
    for ax, row, atoms in zip(
        np.atleast_1d(figure.subplots(1, len(rows))), rows, sets, strict=True
    ):
        csc.plot.dictionary(atoms[:: max(1, len(atoms) // N_SHOWN)][:N_SHOWN], ax)
        ax.set_title(
            f"{row['factor']:g} times: {row['n_learned']} atoms, {row['gabor_share']:.0%} Gabor-like",
            fontsize=10,
        )
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    X, held_out = (
        normalised_patches(args, n, seed)
        for n, seed in ((args.patches, args.seed), (N_HELD_OUT, args.seed + 1))
    )
    rows, sets = [], []
    for factor in args.factors:
        row, atoms = one_factor(X, held_out, factor, args)
        rows.append(row)
        sets.append(atoms)
        print(row, flush=True)
    print(table(rows))
    settings = {k: str(v) if k == "out" else v for k, v in vars(args).items()}
    results = {"rows": rows, "settings": settings}
    save_results(draw(rows, sets), results, args.out, "overcompleteness")
    return rows


if __name__ == "__main__":
    main()
