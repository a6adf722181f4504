"""Denoising: a noisy photograph, coded up to its noise level.

The picture is split by a wide Gaussian: the low-pass part is kept, the rest is coded by atoms
learned from *other* photographs, such that the norm of the residual is that of the noise
(`csc.noise_constrained`: only the noise level is needed, no lmbda). The baselines from
scikit-image have an advantage: total variation and non-local means use the regularization parameter
with the highest PSNR for this picture, which requires the clean picture.

Writes ``denoising.png`` and ``denoising.json``.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

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
from demos._restoration_baselines import non_local_means, total_variation

LOW_PASS_SIGMA = 5.0  # pixels


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.denoising", description=__doc__)
    parser.add_argument(
        "--side", type=integer(16), default=256, help="side of the crop in pixels (256)"
    )
    parser.add_argument(
        "--photograph", type=photograph_index, default=1, help="index of a bundled photograph (1)"
    )
    parser.add_argument("--sigma", type=number(0), default=20.0, help="noise level, of 255 (20)")
    parser.add_argument("--atoms", type=integer(1), default=100, help="number of atoms (100)")
    parser.add_argument(
        "--atom", type=integer(2), default=12, help="side of an atom in pixels (12)"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    max_side = shortest_side(args.photograph)
    require_at_most(parser, args, "side", max_side, "the shortest side of that photograph")
    require_at_most(parser, args, "atom", args.side // 2, "half the side of the crop")
    return args


def denoise(noisy, atoms, sigma):
    """Return the low-pass part plus the coded rest, and the solution."""
    low_pass = ndimage.gaussian_filter(noisy, LOW_PASS_SIGMA)
    details = (noisy - low_pass)[None, None]
    epsilon = sigma * noisy.size**0.5
    D = csc.Dictionary(atoms, "valid")
    solution = csc.noise_constrained(details, D, epsilon, tol=1e-2)
    return low_pass + solution.reconstruction()[0, 0], solution


def baselines(truth, noisy, sigma):
    return {
        "total variation": total_variation(truth, noisy, sigma).estimate,
        "non-local means": non_local_means(truth, noisy, sigma).estimate,
    }


def draw(pictures, scores, atoms):
    figure = new_figure(15, 2.9)
    axes = figure.subplots(1, len(pictures) + 1)
    for ax, (name, picture) in zip(axes, pictures.items(), strict=False):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
        score = f", {scores[name]:.2f} dB" if name in scores else ""
        ax.set_title(name + score, fontsize=10)
        ax.set_axis_off()
    csc.plot.dictionary(atoms, axes[-1])
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    truth, sigma = crop(args.side, args.photograph), args.sigma / 255
    noise = np.random.default_rng(0).standard_normal(truth.shape)
    noisy = (truth + sigma * noise).astype("float32")
    atoms = learn_atoms(args.atoms, args.atom, LOW_PASS_SIGMA, without=args.photograph)
    denoised, solution = denoise(noisy, atoms, sigma)
    estimates = {"noisy": noisy, "csc": denoised, **baselines(truth, noisy, sigma)}
    scores = {name: psnr(truth, estimate) for name, estimate in estimates.items()}
    for name, score in scores.items():
        print(f"{name:16} {score:.2f} dB")
    results = {"psnr_dB": scores, "sigma": args.sigma, "nonzero": len(solution.z.values),
               "lmbda": solution.problem.penalty.lmbda,
               "relative_gap": solution.relative_gap}  # fmt: skip
    save_results(draw({"truth": truth, **estimates}, scores, atoms), results, args.out, "denoising")
    return results


if __name__ == "__main__":
    main()
