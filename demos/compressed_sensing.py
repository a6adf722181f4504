"""Compressed sensing: a photograph from fewer random measurements than it has pixels.

A camera that measures m random sums of n pixels retains only m dimensions. If the picture is D z
with few non-zero codes z, the lasso on the measurements A x = A D z recovers it [1]. First, how many
measurements are enough where the truth is known: k spikes of random size among n samples, m random
sums. Below a sharp line in the plane of m / n and k / m nearly all draws are recovered, above it
nearly none: the phase transition. The curve is the theory for n to infinity (Donoho and Tanner [2]).
Then a patch of a photograph, coded by cosines: there is no sharp line, because a photograph is only
approximately sparse, but the PSNR grows with the measurements and exceeds that of least squares.

Writes ``compressed_sensing.png`` and ``compressed_sensing.json``.

[1] E. Candes, J. Romberg, T. Tao, IEEE Trans. Inf. Theory 52(2), 2006.
[2] D. Donoho, J. Tanner, Phil. Trans. R. Soc. A 367, 2009.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.fft import idctn
from scipy.optimize import brentq
from scipy.stats import norm

import csc
from demos._arguments import integer, output_folder
from demos._figures import new_figure, save_results
from demos._photographs import psnr

MAX_RECOVERED_ERROR = 1e-2  # relative error up to which a draw counts as recovered
PHOTOGRAPH_FRACTIONS = 0.1, 0.2, 0.3, 0.5, 0.7  # measurements / pixels
RELATIVE_LMBDA = 1e-4


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.compressed_sensing", description=__doc__)
    parser.add_argument(
        "--samples", type=integer(10), default=128, help="number n of samples (128)"
    )
    parser.add_argument("--grid", type=integer(2), default=9, help="points along each axis (9)")
    parser.add_argument("--draws", type=integer(1), default=8, help="draws for each point (8)")
    parser.add_argument(
        "--side", type=integer(4, 64), default=32, help="side of the patch in pixels (32)"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    return parser.parse_args(argv)


def gaussian_matrix(m, n, rng):
    return rng.standard_normal((m, n)) / m**0.5


def recovered_fraction(n, m, k, n_draws, rng):
    """Return the fraction of draws of k spikes that are recovered from m measurements."""
    spikes = np.zeros((n_draws, n, 1))
    for z in spikes:
        z[rng.choice(n, k, replace=False), 0] = rng.standard_normal(k)
    D = csc.MeasuredDictionary(csc.Dictionary(np.eye(n)[:, None]), gaussian_matrix(m, n, rng), (n,))
    problem = csc.Problem(D(spikes), D, csc.L1(csc.Relative(RELATIVE_LMBDA)))
    codes = csc.solve(problem, csc.solvers.GreedyFISTA(), tol=1e-4, max_iter=1500).codes
    errors = np.linalg.norm(codes - spikes, axis=1) / np.linalg.norm(spikes, axis=1)
    return float((errors < MAX_RECOVERED_ERROR).mean())


def phase_transition(undersampling):
    """Return k / m at the transition from the minimax risk of soft thresholding (weak, [2])."""

    def stationarity(t):  # zero at the minimax threshold t
        return 2 * norm.pdf(t) / (t + 2 * (norm.pdf(t) - t * norm.cdf(-t))) - undersampling

    t = brentq(stationarity, 1e-6, 20)
    return 1 - t * norm.cdf(-t) / norm.pdf(t)


def recover_patch(side, fractions, rng):
    """Return a patch, its recovered pictures, and the PSNR of the lasso and of least squares."""
    pixels = csc.images.natural()[0].pixels
    top, left = np.array(pixels.shape) // 2 - side // 2
    truth = pixels[top : top + side, left : left + side]
    basis = idctn(np.eye(side**2).reshape(-1, side, side), axes=(1, 2), norm="ortho")
    D, pictures, rows = csc.Dictionary(basis[:, None]), {}, []
    for fraction in fractions:
        A = gaussian_matrix(int(fraction * side**2), side**2, rng)
        y = (A @ truth.ravel())[None]
        problem = csc.Problem(
            y, csc.MeasuredDictionary(D, A, truth.shape), csc.L1(csc.Relative(RELATIVE_LMBDA))
        )
        solution = csc.solve(problem, csc.solvers.GreedyFISTA(), tol=1e-3, max_iter=500)
        by_lasso = solution.reconstruction()[0, 0]
        by_least_squares = np.linalg.lstsq(A, y[0], rcond=None)[0].reshape(truth.shape)
        pictures[fraction] = by_lasso
        rows.append({"m_over_n": fraction, "lasso_dB": psnr(truth, by_lasso),
                     "least_squares_dB": psnr(truth, by_least_squares)})  # fmt: skip
    return truth, pictures, rows


def draw(plane, axes, truth, pictures, rows):
    figure = new_figure(11, 4)
    left, middle, right = figure.subplots(1, 3)
    image = left.pcolormesh(axes[0], axes[1], plane.T, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=left, label="fraction recovered")
    left.plot(axes[0], [phase_transition(a) for a in axes[0]], "w--", label="theory, n to infinity")
    left.set(xlabel="measurements / samples", ylabel="spikes / measurements", ylim=(0, 1))
    left.legend(loc="upper left", fontsize=8, facecolor="0.3", labelcolor="w")
    shown = sorted(pictures)[:: max(1, len(pictures) // 3)][:3]
    mosaic = np.hstack([truth, *(np.clip(pictures[f], 0, 1) for f in shown)])
    middle.imshow(mosaic, cmap="gray", vmin=0, vmax=1)
    middle.set_title("patch; from " + ", ".join(f"{f:.0%}" for f in shown), fontsize=10)
    middle.set_axis_off()
    for name, marker in (("lasso_dB", "o-"), ("least_squares_dB", "s--")):
        right.plot([r["m_over_n"] for r in rows], [r[name] for r in rows], marker, label=name[:-3])
    right.set(xlabel="measurements / pixels", ylabel="PSNR in dB")
    right.legend()
    return figure


def main(argv=None):
    args, rng = parse_arguments(argv), np.random.default_rng(0)
    undersampling = np.linspace(0.1, 0.9, args.grid)
    sparsity = np.linspace(0.05, 0.95, args.grid)
    plane = np.zeros((args.grid, args.grid))
    for i, j in np.ndindex(plane.shape):
        m = round(undersampling[i] * args.samples)
        k = max(1, round(sparsity[j] * m))
        plane[i, j] = recovered_fraction(args.samples, m, k, args.draws, rng)
    truth, pictures, rows = recover_patch(args.side, PHOTOGRAPH_FRACTIONS, rng)
    figure = draw(plane, (undersampling, sparsity), truth, pictures, rows)
    results = {"recovered": plane.tolist(), "m_over_n": undersampling.tolist(),
               "k_over_m": sparsity.tolist(), "photograph": rows}  # fmt: skip
    for row in rows:
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()))
    save_results(figure, results, args.out, "compressed_sensing")
    return results


if __name__ == "__main__":
    main()
