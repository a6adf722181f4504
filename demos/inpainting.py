"""Inpainting: a photograph of which most pixels are missing.

The mask is part of the problem: codes explain the pixels that were seen, and what they say of the
others is the answer. The light (a Gaussian mean of the pixels seen nearby) is taken away first; the
details are coded by atoms learned from *other* photographs, in mode "valid", so that borders are
only more missing pixels. Beside it: scikit-image's biharmonic inpainting, which solves one smooth
equation and knows no atoms, and, with ``--sporco`` (a minute), sporco's masked ADMM with the same
atoms, light and lmbda.

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

WIDE = 3.0  # pixels: the Gaussian that makes the light


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.inpainting", description=__doc__)
    parser.add_argument("--side", type=integer(16), default=192, help="of the crop in pixels (192)")
    parser.add_argument(
        "--photograph", type=photograph_index, default=1, help="which of the bundled (1)"
    )
    parser.add_argument(
        "--missing", type=number(0, 0.95), default=0.7, help="part of the pixels (0.7)"
    )
    parser.add_argument("--atoms", type=integer(1), default=100, help="how many (100)")
    parser.add_argument(
        "--atom", type=integer(2), default=12, help="side of an atom in pixels (12)"
    )
    parser.add_argument("--fraction", type=number(0, 1), default=0.01, help="of lmbda_max (0.01)")
    parser.add_argument("--sporco", action="store_true", help="run sporco's solver, too")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    most = shortest_side(args.photograph)
    require_at_most(parser, args, "side", most, "what that photograph holds")
    require_at_most(parser, args, "atom", args.side // 2, "half the side of the crop")
    return args


def light_of(seen, mask):
    """Gaussian mean of the pixels seen nearby."""
    return ndimage.gaussian_filter(seen * mask, WIDE) / ndimage.gaussian_filter(mask, WIDE)


def by_codes(details, mask, atoms, fraction):
    D = csc.Dictionary(atoms, "valid")
    penalty = csc.L1(csc.Relative(fraction))
    problem = csc.Problem(details[None, None], D, penalty, mask[None, None])
    return csc.solve(problem, tol=1e-2)


def by_sporco(details, mask, atoms, lmbda):
    """The same details by `ConvBPDNMaskDcpl`."""
    try:
        from sporco.admm import cbpdn
    except ImportError:
        sys.exit("--sporco needs sporco: pip install sporco")
    warnings.simplefilter("ignore")  # its own deprecations
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
    atoms = learn_atoms(args.atoms, args.atom, WIDE, without=args.photograph)
    light = light_of(truth, mask)
    details = (truth - light) * mask
    start = perf_counter()
    solution = by_codes(details, mask, atoms, args.fraction)
    seconds = {"csc": perf_counter() - start}
    estimates = {"light only": light, "csc": light + solution.reconstruction()[0, 0]}
    start = perf_counter()
    estimates["biharmonic"] = inpaint_biharmonic(truth * mask, mask == 0)
    seconds["biharmonic"] = perf_counter() - start
    if args.sporco:
        start = perf_counter()
        estimates["sporco"] = light + by_sporco(
            details, mask, atoms, solution.problem.penalty.lmbda
        )
        seconds["sporco"] = perf_counter() - start
    for name in estimates:  # what was seen is known
        estimates[name] = np.where(mask == 1, truth, estimates[name])
    scores = {name: psnr(truth, estimate) for name, estimate in estimates.items()}
    for name, score in scores.items():
        took = f" in {seconds[name]:.1f} s" if name in seconds else ""
        print(f"{name:12} {score:.2f} dB{took}")
    numbers = {
        "psnr_dB": scores,
        "seconds": seconds,
        "missing": args.missing,
        "nonzero": len(solution.z.values),
        "relative_gap": solution.relative_gap,
    }
    shown = {"truth": truth, "seen": truth * mask, **estimates}
    save_results(draw(shown, scores), numbers, args.out, "inpainting")
    return numbers


if __name__ == "__main__":
    main()
