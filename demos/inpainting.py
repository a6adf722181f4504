"""Inpainting: a photograph of which most pixels are missing.

The mask is part of the problem: codes explain the known pixels, and their reconstruction fills the
others. The low-pass part (a Gaussian mean of the known pixels nearby) is subtracted first; the
rest is coded by atoms learned from *other* photographs, in mode "valid", which treats pixels outside
the picture as missing, too. It is compared with scikit-image's biharmonic inpainting, which solves
one smooth equation without atoms, and with ``--sporco`` (takes a minute) with sporco's masked ADMM
with the same atoms, low-pass part and lmbda.

Writes ``inpainting.png`` and ``inpainting.json``.
"""

import argparse
import sys
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import ndimage
from skimage.restoration import inpaint_biharmonic

import csc
from demos._arguments import (
    integer,
    number,
    output_folder,
    photograph_index,
    require_at_most,
    shortest_side,
)
from demos._figures import new_figure, save_results
from demos._photographs import crop, learn_atoms, psnr

LOW_PASS_SIGMA = 3.0  # pixels


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.inpainting", description=__doc__)
    parser.add_argument(
        "--side", type=integer(16), default=192, help="side of the crop in pixels (192)"
    )
    parser.add_argument(
        "--photograph", type=photograph_index, default=1, help="index of a bundled photograph (1)"
    )
    parser.add_argument(
        "--missing", type=number(0, 0.95), default=0.7, help="fraction of missing pixels (0.7)"
    )
    parser.add_argument("--atoms", type=integer(1), default=100, help="number of atoms (100)")
    parser.add_argument(
        "--atom", type=integer(2), default=12, help="side of an atom in pixels (12)"
    )
    parser.add_argument(
        "--fraction",
        type=number(0, 1),
        default=0.01,
        help="lmbda as a fraction of lmbda_max (0.01)",
    )
    parser.add_argument("--sporco", action="store_true", help="run the solver of sporco, too")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    max_side = shortest_side(args.photograph)
    require_at_most(parser, args, "side", max_side, "the shortest side of that photograph")
    require_at_most(parser, args, "atom", args.side // 2, "half the side of the crop")
    return args


def masked_low_pass(x, mask):
    """Return the Gaussian mean of the known pixels near each pixel."""
    weights = ndimage.gaussian_filter(mask, LOW_PASS_SIGMA)
    return ndimage.gaussian_filter(x * mask, LOW_PASS_SIGMA) / weights


def inpaint(details, mask, atoms, fraction):
    """Return the solution of the lasso on the known pixels."""
    D = csc.Dictionary(atoms, "valid")
    penalty = csc.L1(csc.Relative(fraction))
    problem = csc.Problem(details[None, None], D, penalty, mask[None, None])
    return csc.solve(problem, tol=1e-2)


def inpaint_by_sporco(details, mask, atoms, lmbda):
    """Return the details by `ConvBPDNMaskDcpl` of sporco."""
    try:
        from sporco.admm import cbpdn
    except ImportError:
        sys.exit("--sporco needs sporco: pip install sporco")
    warnings.simplefilter("ignore")  # deprecations inside sporco
    settings = {"Verbose": False, "MaxMainIter": 200, "RelStopTol": 1e-3}
    solver = cbpdn.ConvBPDNMaskDcpl(
        np.moveaxis(atoms[:, 0], 0, -1), details * mask, lmbda, mask,
        cbpdn.ConvBPDNMaskDcpl.Options(settings),
    )  # fmt: skip
    return solver.reconstruct(solver.solve())[..., 0, 0].squeeze()


def draw(pictures, scores):
    figure = new_figure(3 * len(pictures), 3.2)
    for ax, (name, picture) in zip(
        figure.subplots(1, len(pictures)), pictures.items(), strict=True
    ):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
        ax.set_title(name + (f", {scores[name]:.2f} dB" if name in scores else ""), fontsize=10)
        ax.set_axis_off()
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    truth = crop(args.side, args.photograph)
    mask = np.random.default_rng(0).random(truth.shape) >= args.missing
    mask = mask.astype("float32")
    atoms = learn_atoms(args.atoms, args.atom, LOW_PASS_SIGMA, without=args.photograph)
    low_pass = masked_low_pass(truth, mask)
    details = (truth - low_pass) * mask
    start = perf_counter()
    solution = inpaint(details, mask, atoms, args.fraction)
    seconds = {"csc": perf_counter() - start}
    estimates = {"low-pass only": low_pass, "csc": low_pass + solution.reconstruction()[0, 0]}
    start = perf_counter()
    estimates["biharmonic"] = inpaint_biharmonic(truth * mask, mask == 0)
    seconds["biharmonic"] = perf_counter() - start
    if args.sporco:
        start = perf_counter()
        estimates["sporco"] = low_pass + inpaint_by_sporco(
            details, mask, atoms, solution.problem.penalty.lmbda
        )
        seconds["sporco"] = perf_counter() - start
    for name in estimates:  # the known pixels stay as they are
        estimates[name] = np.where(mask == 1, truth, estimates[name])
    scores = {name: psnr(truth, estimate) for name, estimate in estimates.items()}
    for name, score in scores.items():
        time = f" in {seconds[name]:.1f} s" if name in seconds else ""
        print(f"{name:12} {score:.2f} dB{time}")
    results = {
        "psnr_dB": scores,
        "seconds": seconds,
        "missing": args.missing,
        "nonzero": len(solution.z.values),
        "relative_gap": solution.relative_gap,
    }
    shown = {"truth": truth, "known pixels": truth * mask, **estimates}
    save_results(draw(shown, scores), results, args.out, "inpainting")
    return results


if __name__ == "__main__":
    main()
