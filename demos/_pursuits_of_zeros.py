"""What the zeros of the mid layer are worth, and how fast multi-layer basis pursuit converges."""

from dataclasses import replace

import numpy as np

import csc
from csc.datasets import make_cosparse_signals, make_sparse_signals
from demos._pursuits import dB, errors, matrices, noisy

FRACTIONS = (1.0, 0.1, 0.01)
CASES = ("l + 1", 25), (11, 25)  # codes, SNR in dB


def convergence(steps, rng):
    """Objective above its minimum against steps and seconds."""
    D = matrices(50, 70, 60)
    x, _ = noisy(make_sparse_signals(D, 8, (50,), amplitudes=(0.2, 1.0), rng=rng).x, 20, rng)
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.05)] * 2)
    best = csc.solve(problem, tol=1e-12)
    runs = {f"ML-ISTA {f:g}": csc.solvers.MLISTA(f) for f in FRACTIONS}
    runs |= {f"ML-FISTA {f:g}": csc.solvers.MLFISTA(f) for f in FRACTIONS}
    curves = {}
    for name, solver in {**runs, "ML-ADMM": csc.solvers.MLADMM()}.items():
        most = steps if name in runs else 200
        history = csc.solve(problem, solver, tol=0.0, max_iter=most).history
        curves[name] = [[p.n_iter, p.seconds, (p.objective - best.objective) / best.objective]
                        for p in history]  # fmt: skip
    return curves


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
        solver = csc.solvers.HolisticPursuit(
            zeros, rho=float(np.median(lmbda)), tol=1e-3, max_sweeps=400
        )
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
    for n_nonzero, snr in CASES:
        for zeros in cosparsities:
            count = zeros + 1 if n_nonzero == "l + 1" else n_nonzero
            clean, (_, truth), (masks,) = make_cosparse_signals(
                D, count, zeros, (50,), trials, rng=rng
            )
            x, sigma = noisy(clean, snr, rng)
            found = dict.fromkeys(ESTIMATES)
            for n, name in ((0, "projection"), (zeros, "holistic")):
                found[name], found[f"{name}, refitted"], zero = at_noise_level(x, D, n, sigma)
            found["support known"] = oracle(x, D, truth, masks & False)
            found["support and zeros known"] = oracle(x, D, truth, masks)
            row = {
                "n_nonzero": n_nonzero,
                "snr_dB": snr,
                "zeros": zeros,
                "true": float((zero & masks).mean() / masks.mean()),
            }
            for name, codes in found.items():
                e = errors(codes, truth)
                row[name] = {"median_dB": dB(np.median(e)), "mean_dB": dB(e.mean())}
            rows.append(row)
    return rows
