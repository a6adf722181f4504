"""Restoration: noise, missing pixels, impulses, blur and few pixels, next to scikit-image.

`csc.restoration` is given the noise level only. The baselines from scikit-image use the parameter
with the highest PSNR for the picture at hand, which requires the clean picture: the best of each
list below. BM3D joins the denoising table if the package ``bm3d`` is installed (its licence: free
for non-commercial use only), wavelets if ``PyWavelets`` is.

Writes ``restoration.png`` and ``restoration.json``.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import ndimage
from skimage.restoration import (
    denoise_nl_means,
    denoise_tv_chambolle,
    denoise_wavelet,
    inpaint_biharmonic,
    richardson_lucy,
    unsupervised_wiener,
)

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
from demos._photographs import crop, psnr

TV_WEIGHTS = 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0  # tried, in units of the noise
NL_MEANS_WIDTHS = 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7, 2.0  # tried values of h
RICHARDSON_LUCY_STEPS = 10, 30, 60, 100
FINE_SIGMA = 2 / 255  # of the noise on blurred pictures
TASKS = "denoise", "inpaint", "impulses", "deblur", "enlarge"


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.restoration", description=__doc__)
    parser.add_argument(
        "--side", type=integer(32), default=256, help="side of the crop in pixels (256)"
    )
    parser.add_argument(
        "--photograph", type=photograph_index, default=1, help="index of a bundled photograph (1)"
    )
    parser.add_argument("--sigma", type=number(0), default=20.0, help="noise level, of 255 (20)")
    parser.add_argument(
        "--missing", type=number(0, 0.95), default=0.5, help="share of missing pixels (0.5)"
    )
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=TASKS, help="which problems (all)"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    max_side = shortest_side(args.photograph)
    require_at_most(parser, args, "side", max_side, "the shortest side of that photograph")
    return args


def best_of(truth, method, parameters):
    """The result with the highest PSNR."""
    return max((method(p) for p in parameters), key=lambda estimate: clipped_psnr(truth, estimate))


def clipped_psnr(truth, estimate):
    return psnr(truth, np.clip(estimate, 0, 1))


def denoise(truth, args, rng):
    sigma = args.sigma / 255
    y = (truth + sigma * rng.standard_normal(truth.shape)).astype("float32")

    def nl_means(h):
        options = {"patch_size": 5, "patch_distance": 6, "h": h * sigma, "sigma": sigma}
        return max(
            (denoise_nl_means(y, fast_mode=fast, **options) for fast in (True, False)),
            key=lambda estimate: clipped_psnr(truth, estimate),
        )

    methods = {
        "csc fast": lambda: csc.restoration.denoise(y, sigma, quality="fast").image,
        "csc best": lambda: csc.restoration.denoise(y, sigma).image,
        "csc, sigma estimated": lambda: csc.restoration.denoise(y).image,
        "total variation": lambda: best_of(
            truth, lambda w: denoise_tv_chambolle(y, weight=w * sigma), TV_WEIGHTS
        ),
        "non-local means": lambda: best_of(truth, nl_means, NL_MEANS_WIDTHS),
    }
    if find_spec("pywt"):
        methods["wavelets"] = lambda: denoise_wavelet(y, sigma=sigma, rescale_sigma=True)
    if find_spec("bm3d"):
        from bm3d import bm3d

        methods["BM3D"] = lambda: bm3d(y.astype("float64"), sigma)
    return y, methods


def inpaint(truth, args, rng):
    mask = rng.random(truth.shape) >= args.missing
    y = truth * mask
    return y, {
        "csc fast": lambda: csc.restoration.inpaint(y, mask, quality="fast").image,
        "csc best": lambda: csc.restoration.inpaint(y, mask).image,
        "biharmonic": lambda: inpaint_biharmonic(y, ~mask),
    }


def impulses(truth, args, rng):  # noqa: ARG001  all tasks have the same arguments
    u = rng.random(truth.shape)
    y = np.where(u < 0.15, 0, np.where(u > 0.85, 1, truth)).astype("float32")
    bad = (y <= 0) | (y >= 1)
    return y, {
        "csc fast": lambda: csc.restoration.remove_impulses(y, quality="fast").image,
        "csc best": lambda: csc.restoration.remove_impulses(y).image,
        "median": lambda: best_of(truth, lambda n: ndimage.median_filter(y, n), (3, 5, 7)),
        "biharmonic": lambda: inpaint_biharmonic(np.where(bad, 0, y), bad),
    }


def gaussian(width):
    offsets = np.arange(-12, 13)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * width**2))
    return kernel / kernel.sum()


def deblur(truth, args, rng):  # noqa: ARG001
    kernel = gaussian(1.6)
    y = ndimage.convolve(truth, kernel.astype("float32"), mode="wrap")
    y += FINE_SIGMA * rng.standard_normal(truth.shape).astype("float32")
    wide = np.pad(np.clip(y, 1e-4, 1), 24, mode="wrap")

    def fast_or_best(quality):
        options = {"boundary": "wrap", "quality": quality}
        return csc.restoration.deblur(y, kernel, FINE_SIGMA, **options).image

    return y, {
        "csc fast": lambda: fast_or_best("fast"),
        "csc best": lambda: fast_or_best("best"),
        "Wiener": lambda: unsupervised_wiener(y.astype("float64"), kernel, clip=False, rng=0)[0],
        "Richardson-Lucy": lambda: best_of(
            truth,
            lambda n: richardson_lucy(wide, kernel, num_iter=n)[24:-24, 24:-24],
            RICHARDSON_LUCY_STEPS,
        ),
    }


def enlarge(truth, args, rng):  # noqa: ARG001
    y = ndimage.gaussian_filter(truth, 0.8, mode="mirror")[::2, ::2]
    y = (y + 0.5 / 255 * rng.standard_normal(y.shape)).astype("float32")
    at = np.mgrid[: truth.shape[0], : truth.shape[1]] / 2

    def fast_or_best(quality):
        large = csc.restoration.super_resolve(y, 2, gaussian(0.8), quality=quality).image
        return large[: truth.shape[0], : truth.shape[1]]

    return y, {
        "csc fast": lambda: fast_or_best("fast"),
        "csc best": lambda: fast_or_best("best"),
        "cubic spline": lambda: ndimage.map_coordinates(y, at, order=3, mode="mirror"),
    }


def measure(truth, methods):
    """The result of each method, its PSNR in dB and its seconds."""
    results = {}
    for name, method in methods.items():
        start = perf_counter()
        estimate = method()
        results[name] = estimate, clipped_psnr(truth, estimate), perf_counter() - start
        print(f"  {name:22} {results[name][1]:6.2f} dB  {results[name][2]:6.2f} s", flush=True)
    return results


def draw(pictures):
    """A row for each task: what came in, and what each method makes of it."""
    wide = max(len(row) for row in pictures.values())
    figure = new_figure(2.4 * wide, 2.7 * len(pictures))
    axes = figure.subplots(len(pictures), wide, squeeze=False)
    for row, (task, shown) in zip(axes, pictures.items(), strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, (name, picture, score) in zip(row, shown, strict=False):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            ax.set_title(f"{name}, {score:.2f} dB" if score else f"{task}: {name}", fontsize=9)
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    truth = crop(args.side, args.photograph)
    functions = dict(zip(TASKS, (denoise, inpaint, impulses, deblur, enlarge), strict=True))
    pictures, numbers = {}, {}
    for task in args.tasks:
        print(task)
        y, methods = functions[task](truth, args, np.random.default_rng(0))
        results = measure(truth, methods)
        pictures[task] = [("input", y, None), *((n, r[0], r[1]) for n, r in results.items())]
        numbers[task] = {n: {"psnr_dB": r[1], "seconds": r[2]} for n, r in results.items()}
    save_results(draw(pictures), numbers, args.out, "restoration")
    return numbers


if __name__ == "__main__":
    main()
