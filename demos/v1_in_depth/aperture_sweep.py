"""How the distance to macaque V1 depends on the aperture and on the seed of `demos.v1_filters`.

Learns ON and OFF fields (``python -m demos.v1_filters --on-off --aperture SIGMA --seed SEED``) for
every width of the aperture and every seed, and writes all results to ``aperture_sweep.json`` and
``aperture_sweep.png``. The patch has a side of four times the width. The width is fitted: whoever takes
the one of least distance has chosen one of several.
"""

import argparse
from functools import partial
from itertools import product
from pathlib import Path
from time import process_time

import numpy as np

import csc
from demos import v1_filters
from demos._arguments import integer, number, output_folder
from demos._figures import new_figure, save_results

APERTURES = (3.0, 4.0, 5.0)  # pixels
SEEDS = (0, 1, 2)
SHARES = ("gabor_share", "blob_share", "cut_share")


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m demos.v1_in_depth.aperture_sweep", description=__doc__
    )
    parser.add_argument("--apertures", type=number(0), nargs="+", default=APERTURES)
    parser.add_argument("--seeds", type=integer(0, 2**32 - 1), nargs="+", default=SEEDS)
    parser.add_argument("--atoms", type=integer(1), default=512)
    parser.add_argument("--epochs", type=integer(1), default=8, help="passes over the patches (8)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    return parser.parse_args(argv)


def one_run(photographs, sigma, seed, args):
    """Results of one width and one seed."""
    start = process_time()
    options = ["--on-off", "--aperture", sigma, "--seed", seed, "--atoms", args.atoms]
    settings = v1_filters.parse_arguments(map(str, [*options, "--epochs", args.epochs]))
    learner, _ = v1_filters.learn(v1_filters.prepare(photographs, settings), settings)
    report = csc.analysis.receptive_fields.analyse(
        csc.images.on_minus_off(learner.atoms_),
        rng=seed,
        whitening=partial(csc.images.whiten, f0=v1_filters.F0),
        aperture=v1_filters.aperture(settings),
    )
    macaque, summary = report.macaque, report.summary
    return {
        "sigma": sigma,
        "seed": seed,
        "side": settings.patch,
        "emd_macaque": macaque.emd,
        "interval": macaque.interval,
        "emd_null": macaque.null,
        "emd_floor": macaque.floor,
        "gabor_share": summary.n_gabor_like / summary.n_atoms,
        "blob_share": summary.blob_corner,
        "cut_share": report.cut_share,
        "null_gabor_share": float(report.null_phase.gabor_like.mean()),
        "cpu_seconds": process_time() - start,
    }


def table(runs):
    """Lines of a Markdown table, one for each width, with the range over the seeds."""
    lines = ["| σ | side | EMD | null | Gabor-like | blobs | cut | CPU s |", "| --- " * 8 + "|"]
    for sigma in dict.fromkeys(run["sigma"] for run in runs):
        own = [run for run in runs if run["sigma"] == sigma]
        emds, nulls = ([f"{run[key]:.2f}" for run in own] for key in ("emd_macaque", "emd_null"))
        shares = [", ".join(f"{run[key]:.0%}" for run in own) for key in SHARES]
        seconds = ", ".join(f"{run['cpu_seconds']:.0f}" for run in own)
        cells = [f"{sigma:g}", str(own[0]["side"]), ", ".join(emds), ", ".join(nulls), *shares]
        lines.append("| " + " | ".join([*cells, seconds]) + " |")
    return "\n".join(lines)


def draw(runs):
    """Distance to macaque and to its null, for each width."""
    figure = new_figure(6, 4)
    ax = figure.add_subplot(xlabel="σ of the aperture (pixels)", ylabel="EMD to macaque (bins)")
    widths = np.array([run["sigma"] for run in runs])
    for key, label in (("emd_macaque", "learned"), ("emd_null", "phase-scrambled")):
        ax.plot(widths, [run[key] for run in runs], "o", label=label)
    ax.axhline(runs[0]["emd_floor"], linestyle=":", label="two samples of the macaque's cells")
    ax.set_ylim(bottom=0)
    ax.legend()
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    photographs = csc.images.natural()
    runs = []
    for sigma, seed in product(args.apertures, args.seeds):
        runs.append(one_run(photographs, sigma, seed, args))
        print(runs[-1], flush=True)
    print(table(runs))
    save_results(draw(runs), {"runs": runs, "atoms": args.atoms}, args.out, "aperture_sweep")
    return runs


if __name__ == "__main__":
    main()
