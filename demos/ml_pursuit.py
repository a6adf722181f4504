"""Pursuits of several layers: which finds the codes of all layers, how fast, with how much noise.

Signals that obey the multi-layer model exactly, so that the codes are known, in three experiments.

Layers: a convolutional cascade whose second kernels have three non-zeros, so that both layers are
sparse. Noise of several strengths; the error of each layer's codes by layered thresholding (a
network's forward pass) and layered basis pursuit [1], which go up layer by layer, and by projection
pursuit [2], multi-layer basis pursuit [3] (ML-FISTA and ADMM) and holistic pursuit [4], which
explain the signal by the deepest codes. Strengths are tuned on other draws, method by method;
projection pursuit is told the number of codes, holistic pursuit that of zeros.

Convergence: the objective of multi-layer basis pursuit above its minimum, for ML-ISTA and ML-FISTA
with steps of 1, 0.1 and 0.01 of the safe one, and for ADMM, on Gaussian matrices of 50 x 70 and
70 x 60, as in [3].

Zeros: what the zeros of the mid layer are worth. Gaussian matrices of 50 x 100 and 100 x 50, codes
in the null space of some rows of the second [4], 25 dB; the lasso on the product (whose
back-substitution is the projection) against holistic pursuit, both with the lmbda that leaves a
residual of the noise's energy, and least squares that know the support, or support and zeros.

Writes ``ml_pursuit.png`` and ``ml_pursuit.json``.

[1] V. Papyan, Y. Romano, M. Elad, JMLR 18, 2017.
[2] J. Sulam, V. Papyan, Y. Romano, M. Elad, IEEE TSP 66(15), 2018.
[3] J. Sulam, A. Aberdam, A. Beck, M. Elad, IEEE TPAMI 42(8), 2020.
[4] A. Aberdam, J. Sulam, M. Elad, SIAM J. Math. Data Sci. 1(1), 2019.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

import csc
from csc.samplers import cosparse_signals, sparse_cascade, sparse_signals
from demos._common import write

EXTENT, CODES = 80, 4  # samples of a signal of the first experiment, and its deepest codes
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # lmbda in units of the noise
FRACTIONS = (1.0, 0.1, 0.01)


def options(arguments):
    parser = argparse.ArgumentParser(prog="python -m demos.ml_pursuit", description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="signals at each point (20)")
    parser.add_argument("--snr", type=float, nargs="+", default=[5, 15, 25, 35], help="in dB")
    parser.add_argument("--zeros", type=int, nargs="+", default=[1, 4, 7, 10], help="1 to 10")
    parser.add_argument("--steps", type=int, default=4000, help="of ML-ISTA and ML-FISTA (4000)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder to write to (out)")
    return parser.parse_args(arguments)


def noisy(x, snr, rng):
    """Signals with white noise of that ratio, and its standard deviation."""
    sigma = float(10 ** (-snr / 20) * (x * x).mean() ** 0.5)
    return x + sigma * rng.standard_normal(x.shape), sigma


def errors(codes, truth):
    """``||g - g_true||^2 / ||g_true||^2`` of each signal."""
    misses, energies = (a.reshape(len(a), -1) ** 2 for a in (codes - truth, truth))
    return misses.sum(axis=1) / energies.sum(axis=1)


# Layers: each method turns signals and a strength for each layer into codes of both layers.


def thresholding(D, x, strengths):
    return D.forward(x, strengths, "hard")


def layered_basis_pursuit(D, x, strengths):
    codes = []
    for layer, lmbda in zip(D.layers, strengths, strict=True):
        x = csc.solve(csc.Problem(x, layer, csc.L1(lmbda)), tol=1e-4).codes
        codes.append(x)
    return codes


def projection(D, x, strengths):  # noqa: ARG001  no strength
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0)] * 2)
    return csc.solve(problem, csc.ProjectionPursuit((None, None), n_nonzero=CODES)).codes


def basis_pursuit(solver, most):
    def run(D, x, strengths):
        problem = csc.MultiLayerProblem(x, D, [csc.L1(lmbda) for lmbda in strengths])
        codes = csc.solve(problem, solver, tol=1e-2, max_iter=most).codes
        return problem.chain(codes[-1])[1:]  # of ML-FISTA they are not a chain yet

    return run


def holistic(D, x, strengths):
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0), csc.L1(strengths[1])])
    size = int(np.prod(problem.code_shapes[0][1:]))
    zeros = size - CODES * int((D.layers[1].atoms != 0).sum(axis=(1, 2)).max())
    solver = csc.HolisticPursuit(zeros, per_round=-(-zeros // 4), tol=1e-2, max_sweeps=40)
    return csc.solve(problem, solver).codes


METHODS = {  # and whether the layers have strengths of their own, tuned one after the other
    "layered thresholding": (thresholding, True),
    "layered basis pursuit": (layered_basis_pursuit, True),
    "projection pursuit": (projection, None),
    "ML-FISTA": (basis_pursuit(csc.MLFISTA(0.1), 400), False),
    "ML-ADMM": (basis_pursuit(csc.MLADMM(cg_steps=6), 100), False),
    "holistic pursuit": (holistic, False),
}


def tuned(method, own, D, drawn, units):
    """Strengths that err least on these draws: of layer 1 in layer 1, then all in the deepest."""
    x, truth = drawn
    best = [STRENGTHS[0] * unit for unit in units]
    if own is None:
        return best
    for layer in (0, 1) if own else (1,):
        tries = []
        for c in STRENGTHS:
            strengths = [b if own and i != layer else c * units[i] for i, b in enumerate(best)]
            found = method(D, x, strengths)[layer]
            tries.append((errors(found, truth[layer]).mean(), strengths))
        best = min(tries)[1]
    return best


def by_layer(snrs, trials, rng):
    """Errors of both layers by each method at each ratio of signal to noise."""
    D = sparse_cascade([(8, 1, 24), (10, 8, 4)], 3, rng=1)
    rows = []
    for snr in snrs:
        drawn = []
        for n in (max(2, trials // 5), trials):
            x, codes, _ = sparse_signals(D, CODES, (EXTENT,), n, rng=rng)
            y, sigma = noisy(x, snr, rng)
            drawn.append((y, codes))
        tops = [abs(drawn[0][1][0]).max() / 4] * 2  # thresholds: an eighth of a code and up
        for name, (method, own) in METHODS.items():
            units = tops if method is thresholding else [sigma, sigma]
            strengths = tuned(method, own, D, drawn[0], units)
            began = perf_counter()
            found = method(D, drawn[1][0], strengths)
            seconds = perf_counter() - began
            each = [errors(a, b) for a, b in zip(found, drawn[1][1], strict=True)]
            rows.append({
                "snr_dB": snr, "method": name, "strengths": [float(lmbda) for lmbda in strengths],
                "median_dB": [dB(np.median(e)) for e in each],
                "mean_dB": [dB(e.mean()) for e in each], "seconds": seconds,
            })  # fmt: skip
    return rows


# Convergence.


def matrices(*sizes):
    """Dense layers with Gaussian columns of unit norm: D_i is ``sizes[i - 1] x sizes[i]``."""
    shapes = zip(sizes[1:], sizes, (sizes[0], *[1] * len(sizes)), strict=False)
    shapes = [(k, 1 if i == 0 else c, s) for i, (k, c, s) in enumerate(shapes)]
    return sparse_cascade(shapes, rng=0)


def convergence(steps, rng):
    """Objective above its minimum against steps and seconds."""
    D = matrices(50, 70, 60)
    x, _ = noisy(sparse_signals(D, 8, (50,), amplitudes=(0.2, 1.0), rng=rng).x, 20, rng)
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.05)] * 2)
    best = csc.solve(problem, tol=1e-12)
    runs = {f"ML-ISTA {f:g}": csc.MLISTA(f) for f in FRACTIONS}
    runs |= {f"ML-FISTA {f:g}": csc.MLFISTA(f) for f in FRACTIONS}
    curves = {}
    for name, solver in {**runs, "ML-ADMM": csc.MLADMM()}.items():
        most = steps if name in runs else 200
        history = csc.solve(problem, solver, tol=0.0, max_iter=most).history
        curves[name] = [[p.n_iter, p.seconds, (p.objective - best.objective) / best.objective]
                        for p in history]  # fmt: skip
    return curves


# Zeros.


def at_noise_level(x, D, zeros, sigma, rounds=6):
    """Codes with the lmbda, one a signal, that leaves residuals of the energy of the noise.

    Twice: as the penalty shrinks them, and fitted once more on their support. And the zeros of the
    mid layer.
    """
    target, low, high = x.shape[-1] * sigma**2, np.log(0.02 * sigma), np.log(20 * sigma)
    low, high = np.full(len(x), low), np.full(len(x), high)
    for _ in range(rounds):
        lmbda = np.exp((low + high) / 2)
        penalty = csc.L1(1.0, lmbda[:, None, None])
        problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0), penalty])
        solver = csc.HolisticPursuit(zeros, rho=float(np.median(lmbda)), tol=1e-3, max_sweeps=400)
        mid, codes = csc.solve(problem, solver).codes
        fits = ((x - D(codes)) ** 2).sum(axis=(1, 2)) < target
        low, high = np.where(fits, (low + high) / 2, low), np.where(fits, high, (low + high) / 2)
    return codes, csc.solve(problem, replace(solver, debias=True)).codes[-1], mid == 0


def oracle(x, D, truth, masks):
    """Least squares on the true support, in the null space of the rows of some zeros."""
    A1, A2 = D.layers[0].matrix.T, D.layers[1].matrix.T
    found = np.zeros_like(truth)
    for n, g in enumerate(truth[..., 0]):
        T = np.flatnonzero(g)
        _, s, vt = np.linalg.svd(A2[masks[n].ravel()][:, T])
        N = vt[(s > 1e-9).sum() :].T
        found[n, T, 0] = N @ np.linalg.lstsq(A1 @ A2[:, T] @ N, x[n, 0], rcond=None)[0]
    return found


ESTIMATES = (
    "projection", "holistic", "projection, refitted", "holistic, refitted", "support known",
    "support and zeros known",
)  # fmt: skip


def zeros_of_the_mid_layer(cosparsities, trials, rng):
    """Relative error of the deepest codes, median and mean over the signals, dB."""
    D = matrices(50, 100, 50)
    rows2 = D.layers[1].atoms / np.linalg.norm(D.layers[1].atoms, axis=0)  # the paper's: unit rows
    D = csc.MultiLayerDictionary([D.layers[0], csc.Dictionary(rows2)])
    rows = []
    for n_nonzero in ("l + 1", 11):
        for zeros in cosparsities:
            count = zeros + 1 if n_nonzero == "l + 1" else n_nonzero
            clean, (_, truth), (masks,) = cosparse_signals(D, count, zeros, (50,), trials, rng=rng)
            x, sigma = noisy(clean, 25, rng)
            found = dict.fromkeys(ESTIMATES)
            for n, name in ((0, "projection"), (zeros, "holistic")):
                found[name], found[f"{name}, refitted"], zero = at_noise_level(x, D, n, sigma)
            found["support known"] = oracle(x, D, truth, masks & False)
            found["support and zeros known"] = oracle(x, D, truth, masks)
            row = {
                "n_nonzero": n_nonzero,
                "zeros": zeros,
                "true": float((zero & masks).mean() / masks.mean()),
            }
            for name, codes in found.items():
                e = errors(codes, truth)
                row[name] = {"median_dB": dB(np.median(e)), "mean_dB": dB(e.mean())}
            rows.append(row)
    return rows


def dB(a):
    return float(10 * np.log10(a))


def draw(layers, curves, zeros):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    for layer in (0, 1):
        for name in METHODS:
            own = [row for row in layers if row["method"] == name]
            points = [row["snr_dB"] for row in own], [row["median_dB"][layer] for row in own]
            axes[layer, 0].plot(*points, "o-", label=name)
        axes[layer, 0].set(xlabel="SNR in dB", ylabel=f"median error of layer {layer + 1} in dB")
    axes[0, 0].legend(fontsize=8)
    for row, label in ((0, "steps"), (1, "seconds")):
        for name, curve in curves.items():
            style = ":" if "ISTA" in name and "F" not in name else "-"
            axes[row, 1].loglog([p[row] for p in curve], [max(p[2], 1e-12) for p in curve], style,
                                label=name)  # fmt: skip
        axes[row, 1].set(xlabel=label, ylabel="objective above its minimum, relative")
    axes[0, 1].legend(fontsize=8)
    for ax, n_nonzero in zip(axes[:, 2], ("l + 1", 11), strict=True):
        own = [row for row in zeros if row["n_nonzero"] == n_nonzero]
        for name in ESTIMATES:
            style = "k--" if "known" in name else "s:" if "," in name else "o-"
            ax.plot([r["zeros"] for r in own], [r[name]["median_dB"] for r in own], style,
                    label=name)  # fmt: skip
        ax.set(xlabel=f"zeros l of the mid layer; {n_nonzero} codes", ylabel="median error in dB")
    axes[0, 2].legend(fontsize=8)
    return figure


def main(arguments=None):
    choices, rng = options(arguments), np.random.default_rng(0)
    layers = by_layer(choices.snr, choices.trials, rng)
    curves = convergence(choices.steps, rng)
    zeros = zeros_of_the_mid_layer(choices.zeros, choices.trials, rng)
    for row in layers:
        shown = "  ".join(f"{e:6.1f}" for e in row["median_dB"] + row["mean_dB"])
        print(f"SNR {row['snr_dB']:4g} dB  {row['method']:22} median and mean error in dB  {shown}")
    for name, curve in curves.items():
        print(f"{name:14} {curve[-1][2]:.1e} above the minimum after {curve[-1][0]} steps, "
              f"{curve[-1][1]:.2f} s")  # fmt: skip
    for row in zeros:
        shown = "  ".join(f"{name} {row[name]['median_dB']:.1f}" for name in ESTIMATES)
        print(
            f"{row['n_nonzero']} codes, {row['zeros']} zeros ({row['true']:.0%} found), dB  {shown}"
        )
    numbers = {"layers": layers, "convergence": curves, "zeros": zeros}
    write(draw(layers, curves, zeros), numbers, choices.out, "ml_pursuit")
    return numbers


if __name__ == "__main__":
    main()
