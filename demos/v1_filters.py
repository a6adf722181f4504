"""V1-like filters from natural photographs: sparse coding finds Gabor functions.

Olshausen and Field (1996) showed that atoms learned by sparse coding of natural image patches look
like the receptive fields of simple cells in primary visual cortex: localised, oriented, band-pass.
Here the photographs come from scikit-image and scikit-learn. They are whitened and cut into
patches, atoms are learned, and a Gabor function is fitted to the receptive field of every atom in
the pixels of the photographs, and to two null models.

``--on-off`` learns, as V1 does, from cells that cannot fire negatively: patches normalised in
contrast and split into ON and OFF channels, with non-negative atoms and codes. ``--aperture 4``
fades the patches towards their borders, so that none cuts an atom.

Writes ``v1_filters.png`` and ``v1_filters.json`` (all results, settings and versions); with ``--page``
also ``v1_filters.html``, a report that a browser opens: every atom, its fit, and the patches that use it.
"""

import argparse
import platform
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import csc
from demos._arguments import integer, number, output_folder
from demos._figures import new_figure, save_results

F0 = 0.4  # cycles per pixel, cut-off of the whitening
WHITENING = {"filter": "R(f) = f exp(-(f/f0)^4)", "f0_cycles_per_pixel": F0, "variance": 0.1}
# For patches of variance 0.1; 3 to 11 codes of each patch are then large.
LMBDA = {"l1": 0.5, "l0": 0.5, "log": 0.3}
N_CODES = 8  # of a patch of ON and OFF channels
N_PATCHES = 50_000
BORDER = 4  # pixels of each photograph that are not used
PAGE_STEP = 3  # of so many patches one is looked at for the page
MAX_SIDE = 640  # pixels: at full size, patches show the blur and the noise of the camera


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.v1_filters", description=__doc__)
    parser.add_argument(
        "--images",
        metavar="FOLDER",
        help=f"your photographs, reduced to {MAX_SIDE} pixels (default: bundled)",
    )
    parser.add_argument(
        "--on-off", action="store_true", help="ON and OFF channels of contrast-normalised patches"
    )
    parser.add_argument(
        "--aperture",
        metavar="SIGMA",
        type=number(0),
        help="fade contrast-normalised patches by a Gaussian of so many pixels",
    )
    parser.add_argument(
        "--atoms",
        type=integer(1),
        help="number of atoms (192; 384 with --on-off, 512 with --aperture)",
    )
    parser.add_argument(
        "--patch", type=integer(3), help="side of a patch in pixels (12; 4 SIGMA with --aperture)"
    )
    parser.add_argument("--penalty", choices=LMBDA, default="l1", help="penalty of the codes (l1)")
    parser.add_argument(
        "--lmbda",
        type=number(0),
        help=f"lambda, weight of the penalty ({LMBDA}; with --on-off {N_CODES} codes of a patch)",
    )
    parser.add_argument("--epochs", type=integer(1), default=8, help="passes over the patches (8)")
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="random seed (0)")
    parser.add_argument("--page", action="store_true", help="write a report to open in a browser")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    if args.on_off and args.penalty == "log":
        parser.error("--on-off needs non-negative codes: choose --penalty l1 or l0")
    if args.atoms is None:
        args.atoms = 512 if args.aperture else 384 if args.on_off else 192
    if args.patch is None:
        args.patch = max(3, round(4 * args.aperture)) if args.aperture else 12
    return args


def penalty(args):
    if args.on_off:
        lmbda = csc.TargetSparsity(N_CODES) if args.lmbda is None else args.lmbda
        return {"l1": csc.L1, "l0": csc.L0}[args.penalty](lmbda, positive=True)
    lmbda = LMBDA[args.penalty] if args.lmbda is None else args.lmbda
    make = {"l1": csc.L1, "l0": csc.L0, "log": lambda value: csc.LogPenalty(value, scale=0.316)}
    return make[args.penalty](lmbda)


def aperture(args):
    """Return the weights of the pixels of a patch, or None."""
    if args.aperture is None:
        return None
    return csc.images.gaussian_aperture((args.patch, args.patch), args.aperture)


def cut(images, args):
    """Patches of some versions of the photographs: the same places of every version."""
    size = (args.patch, args.patch)
    return csc.images.extract_patches(images, size, n=N_PATCHES, border=BORDER, rng=args.seed)


def prepare(photographs, args):
    """Whiten the photographs and extract patches."""
    whitened = [
        csc.images.whiten(p.pixels, f0=F0, variance=WHITENING["variance"]) for p in photographs
    ]
    patches = cut(whitened, args)
    if args.aperture:
        patches = patches * aperture(args).astype(patches.dtype)
    if args.on_off or args.aperture:
        patches = csc.images.patch_contrast_normalise(patches, variance=WHITENING["variance"])
    return csc.images.on_off(patches) if args.on_off else patches


def learn(patches, args):
    """Learn atoms; return the learner, and its atoms after every pass (for a page only)."""
    constraint = csc.constraints.UnitBall()
    if args.on_off:
        constraint = csc.constraints.NonNegative() & constraint
    learner = csc.DictionaryLearning(
        args.atoms,
        (args.patch, args.patch),
        penalty=penalty(args),
        constraint=constraint,
        max_iter=args.epochs,
        tol=0,
        random_state=args.seed,
        verbose=True,
    )
    if not args.page:
        return learner.fit(patches), []
    snapshots = []
    for n in range(1, args.epochs + 1):  # the atoms equal those of one fit, bit for bit
        learner.set_params(max_iter=n, warm_start=n > 1).fit(patches)
        snapshots.append(pictured(learner.atoms_, args))
    return learner, snapshots


def pictured(atoms, args):
    """Atoms as pictures: of ON and OFF channels the difference."""
    return csc.images.on_minus_off(atoms) if args.on_off else atoms


def write_page(photographs, patches, learner, snapshots, report, args):
    """Write ``v1_filters.html``."""
    args.out.mkdir(parents=True, exist_ok=True)
    path = csc.plot.report(
        learner,
        args.out / "v1_filters.html",
        title=f"{args.atoms} filters learned from {len(photographs)} photographs",
        analysis=report,
        signals=patches[::PAGE_STEP],
        pictures=cut([p.pixels for p in photographs], args)[::PAGE_STEP],
        snapshots=snapshots,
    )
    print(f"page:    {path}")


def draw(learner, atoms, report):
    """Draw all results in one figure."""
    fit = report.fit
    figure = new_figure(15, 8.5)
    grid = figure.add_gridspec(2, 4, width_ratios=[1.25, 1.25, 1, 1])
    ax = csc.plot.dictionary(atoms[fit.r2.argsort()[::-1]], figure.add_subplot(grid[0, :2]))
    fraction = report.summary.n_gabor_like / len(fit)
    ax.set_title(f"{len(atoms)} atoms, best Gabor fit first: {fraction:.0%} are Gabor-like")
    csc.plot.gabor_fits(report.fields, fit, figure.add_subplot(grid[1, :2]))
    csc.plot.receptive_field_shapes(fit, figure.add_subplot(grid[0, 2]))
    csc.plot.orientation_frequency(fit, figure.add_subplot(grid[0, 3], projection="polar"))
    csc.plot.fit_quality(report, figure.add_subplot(grid[1, 2]))
    csc.plot.history(learner, figure.add_subplot(grid[1, 3]))
    return figure


def record(photographs, learner, report, args, seconds):
    """Return all results, with the settings, the photographs and the versions."""
    packages = ("mlcsc", "numpy", "scipy", "numba", "scikit-image", "scikit-learn")
    last, macaque, summary = learner.history_[-1], report.macaque, report.summary
    return {
        "emd_macaque": macaque.emd,
        "emd_null": macaque.null,
        "emd_floor": macaque.floor,
        "gabor_share": summary.n_gabor_like / summary.n_atoms,
        "cut_share": report.cut_share,
        "blob_share": summary.blob_corner,
        "receptive_fields": report.to_dict(),
        "fits": report.fit.to_dict(),
        "objective_per_patch": last.objective,
        "nonzero_codes_per_patch": last.n_nonzero,
        "settings": {k: str(v) if k == "out" else v for k, v in vars(args).items()},
        "penalty": repr(learner.penalty_),
        "n_patches": N_PATCHES,
        "whitening": WHITENING,
        "images": [
            {"name": p.name, "licence": p.licence, "source": p.source, "sha256": p.sha256}
            for p in photographs
        ],
        "seconds": seconds,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
    }


def main(argv=None):
    args = parse_arguments(argv)
    start = perf_counter()
    try:
        if args.images is None:
            photographs = csc.images.natural()
        else:
            photographs = csc.images.load_folder(args.images, longest=MAX_SIDE)
        patches = prepare(photographs, args)
        learner, snapshots = learn(patches, args)
    except (OSError, ValueError) as error:  # the message says what is wrong and how to fix it
        sys.exit(f"{error}")
    learned = perf_counter()
    atoms = pictured(learner.atoms_, args)
    report = csc.analysis.receptive_fields.analyse(
        atoms,
        rng=args.seed,
        whitening=partial(csc.images.whiten, f0=F0),
        aperture=aperture(args),
    )
    figure = draw(learner, atoms, report)
    done = perf_counter()
    seconds = {"learning": learned - start, "fits_and_figure": done - learned}
    results = record(photographs, learner, report, args, seconds)
    print(report)
    print(f"orientations (bins of 22.5 degrees): {report.summary.orientation_counts}")
    print(f"{seconds['learning']:.1f} s learning, {seconds['fits_and_figure']:.1f} s fits, figure")
    save_results(figure, results, args.out, "v1_filters", dpi=110)
    if args.page:
        write_page(photographs, patches, learner, snapshots, report, args)
    return results


if __name__ == "__main__":
    main()
