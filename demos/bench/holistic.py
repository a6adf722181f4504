"""Does holistic pursuit improve as the middle layer gets sparser? The rule of its authors.

Each trial draws Gaussian matrices of 50 x 100 and 100 x 50, with unit columns of the first and unit
rows of the second, and deepest codes with a few non-zeros, Gaussian in the null space of some rows
of the second. The lasso is solved for codes in the null space of the rows selected so far, with
lmbda found by bisection such that the residual has the energy of the noise; then the smallest
code of the middle layer that is not selected yet is selected, until all are (Aberdam, Sulam, Elad,
SIAM J. Math. Data Sci. 1(1), 2019, as in their code; independent of `csc.solvers.HolisticPursuit`).
The codes before the first selection are those of the projection; those with the true rows are an
oracle. Errors are means over the trials, relative to the energy of the codes.
"""

import argparse
from math import exp, log

import numpy as np
from scipy.linalg import null_space

from demos._arguments import integer, number
from demos.bench.report import print_json

N, M1, M2 = 50, 100, 50  # samples; codes of the middle layer, of the deepest layer
MAX_ADMM_ITER, ADMM_TOL, N_BISECTIONS = 400, 1e-6, 10
NOISE_STD = 0.1


def lasso(A, K, y, lmbda, state):
    """Minimise ``1/2 ||y - A g||^2 + lmbda ||v||_1``, g = v in the range of K, by ADMM, rho = 1."""
    AK, (v, u) = A @ K, state
    back = K @ np.linalg.inv(AK.T @ AK + np.eye(K.shape[1]))
    fixed, mixed = back @ (AK.T @ y), back @ K.T
    for _ in range(MAX_ADMM_ITER):
        g, old = fixed + mixed @ (v - u), v
        h = g + u
        v = np.sign(h) * np.maximum(abs(h) - lmbda, 0)
        u = h - v
        if max(abs(v - old).max(), abs(g - v).max()) < ADMM_TOL:
            break
    return v, u


def fit_to_noise_level(A, K, y, energy):
    """Return codes in the range of K whose residual has this energy."""
    low, high, state = log(1e-4), log(20.0), (np.zeros(M2), np.zeros(M2))
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        state = lasso(A, K, y, exp(middle), state)
        too_close = ((y - A @ state[0]) ** 2).sum() < energy
        low, high = (middle, high) if too_close else (low, middle)
    return state[0]


def draw(zeros, n_nonzero, snr, rng):
    """Return D_1 D_2, D_2, codes, noisy signal, and the true zeros."""
    D1, D2 = rng.standard_normal((N, M1)), rng.standard_normal((M1, M2))
    D1, D2 = D1 / np.linalg.norm(D1, axis=0), D2 / np.linalg.norm(D2, axis=1, keepdims=True)
    rows = rng.choice(M1, zeros, replace=False)
    support = rng.choice(M2, n_nonzero, replace=False)
    basis, g = null_space(D2[np.ix_(rows, support)]), np.zeros(M2)
    g[support] = basis @ rng.standard_normal(basis.shape[1])
    x = D1 @ D2 @ g
    scale = NOISE_STD * N**0.5 * 10 ** (snr / 20) / np.linalg.norm(x)
    return D1 @ D2, D2, scale * g, scale * x + NOISE_STD * rng.standard_normal(N), rows


def trial(zeros, n_nonzero, snr, seed):
    """Return the relative errors of projection, holistic pursuit and oracle; true zeros found."""
    A, D2, g, y, rows = draw(zeros, n_nonzero, snr, np.random.default_rng(seed))
    energy, selected, errors = N * 0.01, [], []
    for n in range(zeros + 1):
        K = null_space(D2[selected]) if selected else np.eye(M2)
        codes = fit_to_noise_level(A, K, y, energy)
        if n in (0, zeros):
            errors.append(((codes - g) ** 2).sum() / (g**2).sum())
        sizes = abs(D2 @ codes)
        sizes[selected] = np.inf
        if n < zeros:
            selected.append(int(sizes.argmin()))
    oracle = fit_to_noise_level(A, null_space(D2[rows]), y, energy)
    return *errors, ((oracle - g) ** 2).sum() / (g**2).sum(), len({*selected} & {*rows}) / zeros


def summary(trials):
    """Return the error of the projection, the improvements in dB, and the fraction of true zeros."""
    projection, holistic, oracle, true = np.mean(trials, axis=0)
    wins = float(np.mean([trial[1] < trial[0] for trial in trials]))
    first, second, third = (float(10 * np.log10(e)) for e in (projection, holistic, oracle))
    return {
        "projection_dB": first, "gain_dB": first - second, "gain_of_true_zeros_dB": first - third,
        "true": float(true), "wins": wins,
    }  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench holistic", description=__doc__)
    parser.add_argument(
        "--trials", type=integer(1), default=60, help="trials for each setting (60)"
    )
    parser.add_argument(
        "--snr",
        type=number(-50, 200),
        nargs="+",
        default=[25, 35, 45],
        help="signal-to-noise ratios in dB (25 35 45)",
    )
    parser.add_argument(
        "--zeros",
        type=integer(1, 99),
        nargs="+",
        default=[1, 4, 7, 10],
        help="numbers of zeros of the 100 codes of the middle layer",
    )
    parser.add_argument(
        "--nonzero", type=integer(1), default=11, help="non-zero deepest codes (11)"
    )
    args = parser.parse_args(argv)
    for snr in args.snr:
        for zeros in args.zeros:
            trials = [trial(zeros, args.nonzero, snr, n) for n in range(args.trials)]
            row = summary(trials)
            print_json(bench="holistic", snr_dB=snr, zeros=zeros, trials=args.trials, **row)
            print(
                f"{snr:g} dB, {zeros} zeros: projection {row['projection_dB']:.1f} dB, holistic "
                f"gains {row['gain_dB']:.2f} dB, in {row['wins']:.0%} of the trials; "
                f"{row['true']:.0%} of its zeros are true; with all true zeros the gain is "
                f"{row['gain_of_true_zeros_dB']:.2f} dB"
            )
