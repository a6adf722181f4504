"""Pursuits of several layers: which finds the codes of all layers, how fast, with how much noise.

The signals follow the multi-layer model exactly, so the true codes are known. Three experiments:

Errors by layer. Two convolutional layers; the atoms of the second have three non-zeros, so the codes
of both layers are sparse. At several noise levels, the error of the codes of each layer.
Layered thresholding (the forward pass of a network) and layered basis pursuit [1] code one layer
after the other; projection pursuit [2], multi-layer basis pursuit [3] (by ML-FISTA and by ML-ADMM)
and holistic pursuit [4] explain the signal by the deepest codes. Each lmbda is tuned on separate
signals, for each method; projection pursuit is given the number of non-zeros, holistic pursuit the
number of zeros.

Convergence. The objective of multi-layer basis pursuit above its minimum: ML-ISTA and ML-FISTA with
step sizes of 1, 0.1 and 0.01 times the safe one, and ML-ADMM, on Gaussian matrices of 50 x 70 and
70 x 60, as in [3].

Zeros of the middle layer. How much the error falls if they are known. Gaussian matrices of 50 x 100
and 100 x 50; the codes lie in the null space of some rows of the second [4]. The lasso with the
product matrix (its back-substitution is the projection) is compared with holistic pursuit, both with
the lmbda at which the energy of the residual is that of the noise, and with least squares given
the true support, or the true support and zeros.

Writes ``ml_pursuit.png`` and ``ml_pursuit.json``.

[1] V. Papyan, Y. Romano, M. Elad, JMLR 18, 2017.
[2] J. Sulam, V. Papyan, Y. Romano, M. Elad, IEEE TSP 66(15), 2018.
[3] J. Sulam, A. Aberdam, A. Beck, M. Elad, IEEE TPAMI 42(8), 2020.
[4] A. Aberdam, J. Sulam, M. Elad, SIAM J. Math. Data Sci. 1(1), 2019.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

import csc
from csc.datasets import make_cosparse_signals, make_multilayer_dictionary, make_sparse_signals
from demos._arguments import integer, number, output_folder
from demos._figures import new_figure, save_results


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.ml_pursuit", description=__doc__)
    parser.add_argument(
        "--trials", type=integer(1), default=20, help="signals for each setting (20)"
    )
    parser.add_argument(
        "--snr", type=number(-50, 200), nargs="+", default=[5, 15, 25, 35],
        help="signal-to-noise ratios in dB (5 15 25 35)",
    )  # fmt: skip
    parser.add_argument(
        "--zeros", type=integer(1, 10), nargs="+", default=[1, 4, 7, 10],
        help="numbers of zeros of the middle layer, 1 to 10 (1 4 7 10)",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=integer(1), default=4000, help="iterations of ML-ISTA and ML-FISTA (4000)"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    return parser.parse_args(argv)


# ---- Common to the three experiments


def add_noise(x, snr_dB, rng):
    """Return signals with white noise, and the standard deviation of the noise."""
    sigma = float(10 ** (-snr_dB / 20) * (x * x).mean() ** 0.5)
    return x + sigma * rng.standard_normal(x.shape), sigma


def relative_errors(codes, true_codes):
    """Return ``||z - z_true||^2 / ||z_true||^2`` of each signal."""
    differences, energies = (a.reshape(len(a), -1) ** 2 for a in (codes - true_codes, true_codes))
    return differences.sum(axis=1) / energies.sum(axis=1)


def dB(ratio):
    return float(10 * np.log10(ratio))


def gaussian_matrices(*sizes):
    """Return dense layers with Gaussian columns of unit norm; D_i is ``sizes[i-1] x sizes[i]``."""
    shapes = zip(sizes[1:], sizes, (sizes[0], *[1] * len(sizes)), strict=False)
    shapes = [(k, 1 if i == 0 else c, s) for i, (k, c, s) in enumerate(shapes)]
    return make_multilayer_dictionary(shapes, rng=0)


# ---- Errors by layer. A method turns signals and one lmbda per layer into the codes of both layers.

SIGNAL_LENGTH, N_NONZERO = 80, 4  # samples; non-zeros of the deepest codes
LMBDA_FACTORS = (0.5, 1.0, 2.0, 4.0, 8.0)  # tried values of lmbda, times the unit of the method


def layered_thresholding(D, x, lmbdas):
    return D.forward(x, lmbdas, "hard")


def layered_basis_pursuit(D, x, lmbdas):
    codes = []
    with warnings.catch_warnings():  # some of the tried lmbda are too large
        warnings.filterwarnings("ignore", "all codes are zero")
        for layer, lmbda in zip(D.layers, lmbdas, strict=True):
            x = csc.solve(csc.Problem(x, layer, csc.L1(lmbda)), tol=1e-4).codes
            codes.append(x)
    return codes


def projection_pursuit(D, x, lmbdas):  # noqa: ARG001  uses the number of non-zeros instead
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0)] * 2)
    solver = csc.solvers.ProjectionPursuit((None, None), n_nonzero=N_NONZERO)
    return csc.solve(problem, solver).codes


def multilayer_basis_pursuit(solver, max_iter):
    def run(D, x, lmbdas):
        problem = csc.MultiLayerProblem(x, D, [csc.L1(lmbda) for lmbda in lmbdas])
        codes = csc.solve(problem, solver, tol=1e-2, max_iter=max_iter).codes
        return problem.synthesize_all(codes[-1])[1:]  # before convergence z_1 is not D_2 z_2

    return run


def holistic_pursuit(D, x, lmbdas):
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0), csc.L1(lmbdas[1])])
    size = int(np.prod(problem.code_shapes[0][1:]))
    zeros = size - N_NONZERO * int((D.layers[1].atoms != 0).sum(axis=(1, 2)).max())
    solver = csc.solvers.HolisticPursuit(
        zeros, per_round=-(-zeros // 4), sweep_tol=1e-2, max_sweeps=40
    )
    return csc.solve(problem, solver).codes


class Method(NamedTuple):
    """A pursuit, and the layers whose lmbda are tuned, in this order."""

    pursuit: Callable
    tuned_layers: tuple
    separate_lmbdas: bool = False  # one per layer; otherwise both layers have the same


METHODS = {
    "layered thresholding": Method(layered_thresholding, (0, 1), separate_lmbdas=True),
    "layered basis pursuit": Method(layered_basis_pursuit, (0, 1), separate_lmbdas=True),
    "projection pursuit": Method(projection_pursuit, ()),
    "ML-FISTA": Method(multilayer_basis_pursuit(csc.solvers.MLFISTA(0.1), 400), (1,)),
    "ML-ADMM": Method(multilayer_basis_pursuit(csc.solvers.MLADMM(cg_steps=6), 100), (1,)),
    "holistic pursuit": Method(holistic_pursuit, (1,)),
}


def tune_lmbdas(method, D, x, true_codes, units):
    """Return the lmbda of each layer that give the smallest mean error on these signals."""
    best = [LMBDA_FACTORS[0] * unit for unit in units]
    for layer in method.tuned_layers:
        trials = []
        for factor in LMBDA_FACTORS:
            lmbdas = [factor * unit for unit in units]
            if method.separate_lmbdas:
                lmbdas[1 - layer] = best[1 - layer]
            codes = method.pursuit(D, x, lmbdas)[layer]
            trials.append((relative_errors(codes, true_codes[layer]).mean(), lmbdas))
        best = min(trials)[1]
    return best


def errors_by_layer(snrs_dB, n_signals, rng):
    """Return the errors of both layers, for each method and signal-to-noise ratio."""
    D = make_multilayer_dictionary([(8, 1, 24), (10, 8, 4)], 3, rng=1)
    rows = []
    for snr_dB in snrs_dB:
        data = []
        for n in (max(2, n_signals // 5), n_signals):  # for tuning, for the errors
            x, codes, _ = make_sparse_signals(D, N_NONZERO, (SIGNAL_LENGTH,), n, rng=rng)
            noisy, sigma = add_noise(x, snr_dB, rng)
            data.append((noisy, codes))
        (x_tuning, codes_tuning), (x, true_codes) = data
        # thresholds are tried from an eighth of the largest code upwards
        threshold_units = [abs(codes_tuning[0]).max() / 4] * 2
        for name, method in METHODS.items():
            is_thresholding = method.pursuit is layered_thresholding
            units = threshold_units if is_thresholding else [sigma, sigma]
            lmbdas = tune_lmbdas(method, D, x_tuning, codes_tuning, units)
            start = perf_counter()
            codes = method.pursuit(D, x, lmbdas)
            seconds = perf_counter() - start
            errors = [relative_errors(a, b) for a, b in zip(codes, true_codes, strict=True)]
            rows.append({
                "snr_dB": snr_dB, "method": name, "lmbdas": [float(lmbda) for lmbda in lmbdas],
                "median_dB": [dB(np.median(e)) for e in errors],
                "mean_dB": [dB(e.mean()) for e in errors], "seconds": seconds,
            })  # fmt: skip
    return rows


# ---- Convergence

STEP_SIZE_FACTORS = (1.0, 0.1, 0.01)  # of the safe step size
MAX_ADMM_ITER = 200


def convergence(max_iter, rng):
    """Return, for each solver, (iteration, seconds, relative suboptimality) of its history."""
    D = gaussian_matrices(50, 70, 60)
    x, _ = add_noise(make_sparse_signals(D, 8, (50,), amplitudes=(0.2, 1.0), rng=rng).x, 20, rng)
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.05)] * 2)
    minimum = csc.solve(problem, tol=1e-12).objective
    solvers = {f"ML-ISTA {f:g}": csc.solvers.MLISTA(f) for f in STEP_SIZE_FACTORS}
    solvers |= {f"ML-FISTA {f:g}": csc.solvers.MLFISTA(f) for f in STEP_SIZE_FACTORS}
    solvers["ML-ADMM"] = csc.solvers.MLADMM()
    curves = {}
    for name, solver in solvers.items():
        n = MAX_ADMM_ITER if name == "ML-ADMM" else max_iter
        history = csc.solve(problem, solver, tol=0.0, max_iter=n).history
        curves[name] = [[p.n_iter, p.seconds, (p.objective - minimum) / minimum] for p in history]
    return curves


# ---- Zeros of the middle layer

# non-zeros of the deepest codes (l: zeros of the middle), SNR in dB
CASES = ("l + 1", 25), (11, 25)
ESTIMATES = (
    "projection", "holistic", "projection, refitted", "holistic, refitted", "support known",
    "support and zeros known",
)  # fmt: skip


def fit_to_noise_level(x, D, zeros, sigma, n_bisections=6):
    """Find the lmbda of each signal at which the residual has the energy of the noise.

    Returns the codes, the codes refitted by least squares on their support, and where the codes of
    the middle layer are zero.
    """
    noise_energy = x.shape[-1] * sigma**2
    low = np.full(len(x), np.log(0.02 * sigma))
    high = np.full(len(x), np.log(20 * sigma))
    for _ in range(n_bisections):
        lmbda = np.exp((low + high) / 2)
        penalty = csc.L1(1.0, lmbda[:, None, None])
        problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0), penalty])
        solver = csc.solvers.HolisticPursuit(
            zeros, rho=float(np.median(lmbda)), sweep_tol=1e-3, max_sweeps=400
        )
        middle_codes, codes = csc.solve(problem, solver).codes
        too_close = ((x - D(codes)) ** 2).sum(axis=(1, 2)) < noise_energy
        middle = (low + high) / 2
        low, high = np.where(too_close, middle, low), np.where(too_close, high, middle)
    refitted = csc.solve(problem, replace(solver, debias=True)).codes[-1]
    return codes, refitted, middle_codes == 0


def oracle_least_squares(x, D, true_codes, masks):
    """Least squares on the true support, with zeros of the middle layer where ``masks`` is true."""
    A1, A2 = D.layers[0].matrix.T, D.layers[1].matrix.T
    codes = np.zeros_like(true_codes)
    for n, z in enumerate(true_codes[..., 0]):
        support = np.flatnonzero(z)
        _, s, vt = np.linalg.svd(A2[masks[n].ravel()][:, support])
        N = vt[(s > 1e-9).sum() :].T  # basis of the null space
        codes[n, support, 0] = N @ np.linalg.lstsq(A1 @ A2[:, support] @ N, x[n, 0], rcond=None)[0]
    return codes


def errors_by_number_of_zeros(numbers_of_zeros, n_signals, rng):
    """Return the relative error of the deepest codes in dB, median and mean over the signals."""
    D = gaussian_matrices(50, 100, 50)
    unit_rows = D.layers[1].atoms / np.linalg.norm(D.layers[1].atoms, axis=0)  # as in [4]
    D = csc.MultiLayerDictionary([D.layers[0], csc.Dictionary(unit_rows)])
    rows = []
    for n_nonzero, snr_dB in CASES:
        for zeros in numbers_of_zeros:
            count = zeros + 1 if n_nonzero == "l + 1" else n_nonzero
            x, (_, truth), (masks,) = make_cosparse_signals(
                D, count, zeros, (50,), n_signals, rng=rng
            )
            x, sigma = add_noise(x, snr_dB, rng)
            codes = dict.fromkeys(ESTIMATES)
            for name, n in (("projection", 0), ("holistic", zeros)):
                fitted, refitted, found_zeros = fit_to_noise_level(x, D, n, sigma)
                codes[name], codes[f"{name}, refitted"] = fitted, refitted
            codes["support known"] = oracle_least_squares(x, D, truth, masks & False)
            codes["support and zeros known"] = oracle_least_squares(x, D, truth, masks)
            row = {
                "n_nonzero": n_nonzero, "snr_dB": snr_dB, "zeros": zeros,
                "true_zeros_found": float((found_zeros & masks).mean() / masks.mean()),
            }  # fmt: skip
            for name, estimate in codes.items():
                errors = relative_errors(estimate, truth)
                row[name] = {"median_dB": dB(np.median(errors)), "mean_dB": dB(errors.mean())}
            rows.append(row)
    return rows


# ---- Figure and command


def draw_errors_by_layer(axes, rows):
    for layer, ax in enumerate(axes):
        for name in METHODS:
            own = [row for row in rows if row["method"] == name]
            medians = [row["median_dB"][layer] for row in own]
            ax.plot([row["snr_dB"] for row in own], medians, "o-", label=name)
        ax.set(xlabel="SNR in dB", ylabel=f"median error of layer {layer + 1} in dB")
    axes[0].legend(fontsize=8)


def draw_convergence(axes, curves):
    for column, (ax, label) in enumerate(zip(axes, ("iterations", "seconds"), strict=True)):
        for name, curve in curves.items():
            style = ":" if name.startswith("ML-ISTA") else "-"
            suboptimality = [max(p[2], 1e-12) for p in curve]
            ax.loglog([p[column] for p in curve], suboptimality, style, label=name)
        ax.set(xlabel=label, ylabel="relative suboptimality")
    axes[0].legend(fontsize=8)


def draw_errors_by_number_of_zeros(axes, rows):
    for ax, case in zip(axes, CASES, strict=True):
        own = [row for row in rows if (row["n_nonzero"], row["snr_dB"]) == case]
        for name in ESTIMATES:
            oracle_style = "k-." if "zeros" in name else "k--"
            style = oracle_style if "known" in name else "s:" if "refitted" in name else "o-"
            medians = [row[name]["median_dB"] for row in own]
            ax.plot([row["zeros"] for row in own], medians, style, label=name)
        n_nonzero, snr_dB = case
        ax.set(
            xlabel=f"zeros l of the middle layer; {n_nonzero} non-zero codes, {snr_dB} dB",
            ylabel="median error in dB",
        )
    axes[0].margins(y=0.25)  # space for the legend
    axes[0].legend(fontsize=8, ncols=2, loc="upper left")


def main(argv=None):
    args, rng = parse_arguments(argv), np.random.default_rng(0)
    layers = errors_by_layer(args.snr, args.trials, rng)
    curves = convergence(args.steps, rng)
    zeros = errors_by_number_of_zeros(args.zeros, args.trials, rng)
    print("relative errors in dB: median of layers 1 and 2, mean of layers 1 and 2")
    for row in layers:
        errors = "  ".join(f"{e:6.1f}" for e in row["median_dB"] + row["mean_dB"])
        print(f"SNR {row['snr_dB']:4g} dB  {row['method']:22} {errors}")
    for name, curve in curves.items():
        n_iter, seconds, suboptimality = curve[-1]
        print(f"{name:14} relative suboptimality {suboptimality:.1e} after {n_iter} iterations, "
              f"{seconds:.2f} s")  # fmt: skip
    for row in zeros:
        errors = "  ".join(f"{name} {row[name]['median_dB']:.1f}" for name in ESTIMATES)
        print(
            f"{row['snr_dB']} dB, {row['n_nonzero']} non-zero codes, {row['zeros']} zeros "
            f"({row['true_zeros_found']:.0%} of them found), median errors in dB: {errors}"
        )
    figure = new_figure(14, 8)
    axes = figure.subplots(2, 3)
    draw_errors_by_layer(axes[:, 0], layers)
    draw_convergence(axes[:, 1], curves)
    draw_errors_by_number_of_zeros(axes[:, 2], zeros)
    results = {"layers": layers, "convergence": curves, "zeros": zeros}
    save_results(figure, results, args.out, "ml_pursuit")
    return results


if __name__ == "__main__":
    main()
