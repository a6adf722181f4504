"""Denoising: a noisy photograph, coded no more exactly than its noise allows.

The picture is split: a wide Gaussian keeps the light, what is left is coded by atoms learned from
*other* photographs, as sparsely as a residual of the noise's norm allows
(`csc.noise_constrained`: no strength to tune, only the noise level). Its rivals from scikit-image
are given more: total variation and non-local means get the strength that is best for this very
picture, picked with the clean one at hand.

Writes ``denoising.png`` and ``denoising.json``.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

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

WIDE = 5.0  # pixels: the Gaussian that keeps the light


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.denoising", description=__doc__)
    parser.add_argument("--side", type=integer(16), default=256, help="of the crop in pixels (256)")
    parser.add_argument(
        "--photograph", type=photograph_index, default=1, help="which of the bundled (1)"
    )
    parser.add_argument("--sigma", type=number(0), default=20.0, help="of the noise, of 255 (20)")
    parser.add_argument("--atoms", type=integer(1), default=100, help="how many (100)")
    parser.add_argument(
        "--atom", type=integer(2), default=12, help="side of an atom in pixels (12)"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    most = shortest_side(args.photograph)
    require_at_most(parser, args, "side", most, "what that photograph holds")
    require_at_most(parser, args, "atom", args.side // 2, "half the side of the crop")
    return args


def by_codes(noisy, atoms, sigma):
    """Light plus coded details."""
    light = ndimage.gaussian_filter(noisy, WIDE)
    details = (noisy - light)[None, None]
    epsilon = sigma * noisy.size**0.5
    D = csc.Dictionary(atoms, "valid")
    solution = csc.noise_constrained(details, D, epsilon, tol=1e-2)
    return light + solution.reconstruction()[0, 0], solution


def best_of(truth, make, strengths):
    """The result of the strength that is best for this picture."""
    return max((make(s) for s in strengths), key=lambda estimate: psnr(truth, estimate))


def rivals(truth, noisy, sigma):
    def means(h):
        return denoise_nl_means(noisy, patch_size=5, patch_distance=6, h=h * sigma, sigma=sigma)

    def variation(weight):
        return denoise_tv_chambolle(noisy, weight=weight * sigma)

    return {
        "total variation": best_of(truth, variation, (0.6, 0.8, 1.0, 1.2, 1.5, 2.0)),
        "non-local means": best_of(truth, means, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
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
    atoms = learn_atoms(args.atoms, args.atom, WIDE, without=args.photograph)
    coded, solution = by_codes(noisy, atoms, sigma)
    estimates = {"noisy": noisy, "csc": coded, **rivals(truth, noisy, sigma)}
    scores = {name: psnr(truth, estimate) for name, estimate in estimates.items()}
    for name, score in scores.items():
        print(f"{name:16} {score:.2f} dB")
    numbers = {"psnr_dB": scores, "sigma": args.sigma, "nonzero": len(solution.z.values),
               "lmbda": solution.problem.penalty.lmbda,
               "relative_gap": solution.relative_gap}  # fmt: skip
    save_results(draw({"truth": truth, **estimates}, scores, atoms), numbers, args.out, "denoising")
    return numbers


if __name__ == "__main__":
    main()
